"""Numbers as people read them; "-" for what is not known."""

from __future__ import annotations

UNKNOWN = "-"
FULL, EMPTY = "━", "─"


def rate(value: float | None) -> str:
    """`0`, `4.2`, `845`, `12.3k`, `1.2M`: at most five characters."""
    if value is None:
        return UNKNOWN
    if value < 9.95:
        return f"{value:.1f}" if value else "0"
    if value < 9_999.5:
        return f"{value:.0f}"
    return f"{value / 1e3:.1f}k" if value < 999_500 else f"{value / 1e6:.1f}M"


def percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share * 100:.0f}"


def seconds(value: float | None) -> str:
    """`0.4 ms`, `120 ms`, `1.2 s`."""
    if value is None:
        return UNKNOWN
    if value < 0.9995:
        return f"{value * 1e3:.0f} ms" if value >= 0.01 else f"{value * 1e3:.1f} ms"
    return f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


def cores(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def bar(share: float, width: int) -> tuple[str, str]:
    """The part of `width` cells that is done of a whole, 0 to 1, and the rest."""
    full = min(width, max(0, round(share * width)))
    return FULL * full, EMPTY * (width - full)
