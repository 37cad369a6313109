"""What numbers were like until now, for sparklines: one sample a second, the last few minutes of them."""

from __future__ import annotations

from collections import deque

from dynamo_cli.protocol.measures import Traffic

KEPT = 600
"""Samples of each series: ten minutes."""
EVERY_S = 1.0
BARS = " ▁▂▃▄▅▆▇█"


class History:
    """`note` may be called as often as one likes; a sample is taken every EVERY_S of the clock it is told."""

    def __init__(self) -> None:
        self.series: dict[str, deque[float]] = {}
        self._last = float("-inf")

    def note(self, traffic: Traffic | None, now: float) -> None:
        if traffic is None or now - self._last < EVERY_S:
            return
        self._last = now
        for name in ("requests_s", "output_tokens_s", "prompt_tokens_s", "in_flight"):
            self.series.setdefault(name, deque(maxlen=KEPT)).append(getattr(traffic, name))

    def of(self, name: str) -> list[float]:
        """The oldest first."""
        return list(self.series.get(name, ()))


def spark(values: list[float], width: int, height: int = 1) -> list[str]:
    """The last `width` values as bars over 0, `height` lines from the top down; the latest is at the right end."""
    shown = values[-width:] if width > 0 else []
    most = max(shown, default=0.0)
    steps = len(BARS) - 1
    levels = [_level(value, most, steps * height) for value in shown]
    lines = []
    for line in reversed(range(height)):
        bars = (BARS[min(steps, max(0, level - line * steps))] for level in levels)
        lines.append("".join(bars).rjust(max(0, width)))
    return lines


def _level(value: float, most: float, steps: int) -> int:
    """A value that is not 0 is seen."""
    return max(1, round(value / most * steps)) if value > 0 else 0
