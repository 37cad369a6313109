"""A moment as people type it: `5m` ago, `14:30` today, or RFC 3339."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from dynamo_cli.errors import UsageError
from dynamo_cli.logs.stamp import stamp

UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
AGO = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
TODAY = re.compile(r"\d{1,2}:\d\d(:\d\d)?")


def moment(text: str, option: str, now: datetime) -> str:
    """Its stamp. `now` knows its zone: a time without one is of that zone. UsageError for what is no moment."""
    wanted = text.strip()
    ago = AGO.fullmatch(wanted)
    try:
        if wanted and ago:
            back = sum(float(count or 0) * unit for count, unit in zip(ago.groups(), UNITS.values(), strict=True))
            when = now - timedelta(seconds=back)
        elif TODAY.fullmatch(wanted):
            clock = [int(part) for part in wanted.split(":")]
            when = now.replace(hour=clock[0], minute=clock[1], second=clock[2] if clock[2:] else 0, microsecond=0)
        else:
            when = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", wanted))
            when = when if when.tzinfo else when.replace(tzinfo=now.tzinfo)
        return stamp(when.astimezone(timezone.utc).timestamp())
    except (ValueError, OverflowError):
        raise UsageError(f"{option} {text}: expected 5m, 2h30m, 14:30 or 2026-01-31T14:30:00Z") from None
