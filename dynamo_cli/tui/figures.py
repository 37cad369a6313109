"""Numbers in few cells, beside those of supervisor/measuring/words.py; "-" for what is not known."""

from __future__ import annotations

from dynamo_cli.supervisor.measuring.words import NOTHING

FULL, EMPTY = "━", "─"


def rate(value: float | None) -> str:
    """`0`, `4.2`, `845`, `12.3k`, `1.2M`: at most five characters."""
    if value is None:
        return NOTHING
    if value < 9.95:
        return f"{value:.1f}" if value else "0"
    if value < 9_999.5:
        return f"{value:.0f}"
    return f"{value / 1e3:.1f}k" if value < 999_500 else f"{value / 1e6:.1f}M"


def percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share * 100:.0f}"


def bar(share: float, width: int) -> tuple[str, str]:
    """The part of `width` cells that is done of a whole, 0 to 1, and the rest."""
    full = min(width, max(0, round(share * width)))
    return FULL * full, EMPTY * (width - full)
