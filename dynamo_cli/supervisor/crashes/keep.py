"""The directories of crashes of one deployment: written whole or not at all, and only the last few of them."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from dynamo_cli.errors import ResourceMissing

KEEP = 10
MOST_BYTES = 512 << 10
"""Of one file; the middle of a longer one is left out."""
TIME = "%Y%m%dT%H%M%S.%f"


def directory_name(service: str, when: float) -> str:
    """`decode-0-20260131T143000.123456`, in UTC: names of one service are in order of time."""
    return f"{service}-{datetime.fromtimestamp(when, timezone.utc).strftime(TIME)}"


def keep(crashes: Path, name: str, files: Mapping[str, str], most: int = KEEP) -> Path:
    """Write the files into `crashes/name`, let old ones go. ResourceMissing, and nothing left, on a full disk."""
    draft = crashes / f".{name}"
    try:
        crashes.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.mkdir(mode=0o700)
        for file, text in files.items():
            _write(draft / file, _bounded(text))
        draft.rename(crashes / name)
        forget(crashes, most)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise ResourceMissing(f"no evidence kept in {crashes / name}: {error.strerror}") from None
    return crashes / name


def forget(crashes: Path, most: int) -> None:
    """Keep `most` crashes: the oldest of the service that has the most goes first: none loses its last one."""
    kept = sorted((each for each in crashes.iterdir() if not each.name.startswith(".")), key=_when)
    while len(kept) > most:
        counts = Counter(_service(each) for each in kept)
        greatest = max(counts.values())
        oldest = next(each for each in kept if counts[_service(each)] == greatest)
        kept.remove(oldest)
        shutil.rmtree(oldest, ignore_errors=True)


def drop_drafts(crashes: Path) -> None:
    """Remove what a writer that was killed has left; nobody may be writing now."""
    for draft in crashes.glob(".*"):
        shutil.rmtree(draft, ignore_errors=True)


def latest(crashes: Path, service: str) -> Path | None:
    """The last crash of a service, None without any."""
    with contextlib.suppress(OSError):
        found = [each for each in crashes.iterdir() if _service(each) == service]
        return max(found, key=_when, default=None)
    return None


def _service(directory: Path) -> str:
    return directory.name.rpartition("-")[0]


def _when(directory: Path) -> str:
    return directory.name.rpartition("-")[2]


def _bounded(text: str) -> bytes:
    data = text.encode(errors="replace")
    if len(data) <= MOST_BYTES:
        return data
    half = MOST_BYTES // 2
    return data[:half] + f"\n[{len(data) - 2 * half} bytes left out]\n".encode() + data[-half:]


def _write(file: Path, data: bytes) -> None:
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as opened:
        opened.write(data)
