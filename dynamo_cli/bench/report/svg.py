"""Charts as SVG text: axes with sensible ticks, lines, areas, dots. Colours are classes of page.html."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

LEFT, RIGHT, TOP, BOTTOM = 46, 14, 26, 40
NARROW, HALF, WIDE = 313, 496, 1036  # a third, a half and all of the page: text keeps its size


class Tick(NamedTuple):
    value: float
    text: str


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`. `ticks`: the ones to draw; chosen when empty. `whole`: of things that are counted."""

    label: str
    low: float
    high: float
    log: bool = False
    ticks: tuple[Tick, ...] = ()
    whole: bool = False

    def share(self, value: float) -> float:
        """Where a value lies between the ends, 0 to 1; a value beyond an end lies on it."""
        low, high, value = (math.log(max(v, 1e-12)) if self.log else v for v in (self.low, self.high, value))
        return min(1.0, max(0.0, (value - low) / ((high - low) or 1.0)))

    def marks(self) -> tuple[Tick, ...]:
        if self.ticks:
            return self.ticks
        values = log_ticks(self.low, self.high) if self.log else linear_ticks(self.low, self.high)
        return tuple(Tick(value, number(value)) for value in values if not self.whole or value == int(value))


def fitted(label: str, values: Sequence[float], *, from_zero: bool = False, whole: bool = False) -> Axis:
    """An axis that holds the values: logarithmic when they span more than a decade and need not begin at zero."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if from_zero:
        return Axis(label, 0.0, _round_up(high if high > 1e-9 else 1.0), whole=whole)
    if low > 0 and high / low > 10:
        return Axis(label, low / 1.1, high * 1.1, log=True)
    margin = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
    return Axis(label, max(0.0, low - margin), high + margin)


def linear_ticks(low: float, high: float, most: int = 6) -> list[float]:
    step = _step((high - low) / most)
    first = math.ceil(low / step - 1e-9)
    return [count * step for count in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float, most: int = 8) -> list[float]:
    """1, 2 and 5 of every decade, fewer when those would be too many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [digit * 10.0**decade for decade in decades for digit in digits]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) <= most:
            return inside
    return inside[:: math.ceil(len(inside) / most)]


def _step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(max(rough, 1e-9)))
    return next(digit * power for digit in (1, 2, 2.5, 5, 10) if digit * power >= rough * (1 - 1e-9))


def _round_up(high: float) -> float:
    step = _step(high / 5)
    return math.ceil(high / step - 1e-9) * step


def number(value: float) -> str:
    """Short: 0.25, 12, 1.5k, 2M."""
    for limit, unit in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if unit == 'k' else 1e6):.3g}{unit}"
    return f"{value:.4g}" if abs(value) >= 1e-9 else "0"


@dataclass
class Chart:
    """Marks are drawn in the order they are added. `title` is what a screen reader says."""

    title: str
    x: Axis
    y: Axis
    width: int = HALF
    height: int = 260
    _marks: list[str] = field(default_factory=list)

    def at(self, x: float, y: float) -> tuple[float, float]:
        across, up = self.width - LEFT - RIGHT, self.height - TOP - BOTTOM
        return round(LEFT + self.x.share(x) * across, 1), round(TOP + (1 - self.y.share(y)) * up, 1)

    def line(self, points: Iterable[tuple[float, float]], kind: str, title: str = "") -> None:
        self._marks.append(f'<path class="line {kind}" d="{self._path(points)}">{_title(title)}</path>')

    def area(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        if points:
            ends = [(points[0][0], self.y.low), *points, (points[-1][0], self.y.low)]
            self._marks.append(f'<path class="area {kind}" d="{self._path(ends)}Z"/>')

    def dot(self, x: float, y: float, kind: str, title: str, radius: float = 4) -> None:
        left, top = self.at(x, y)
        self._marks.append(f'<circle class="dot {kind}" cx="{left}" cy="{top}" r="{radius}">{_title(title)}</circle>')

    def text(self, x: float, y: float, words: str, *, dx: float = 8, dy: float = 4, anchor: str = "start") -> None:
        left, top = self.at(x, y)
        place = f'x="{left + dx:.1f}" y="{top + dy:.1f}" text-anchor="{anchor}"'
        self._marks.append(f'<text class="note" {place}>{escape(words)}</text>')

    def across(self, y: float, words: str) -> None:
        """A dashed line at a height, such as a limit."""
        left, top = self.at(self.x.low, y)
        right = self.width - RIGHT
        self._marks.append(f'<path class="limit" d="M{left} {top}H{right}"/>')
        self._marks.append(f'<text class="note" x="{right}" y="{top - 5:.1f}" text-anchor="end">{escape(words)}</text>')

    def band(self, low: float, high: float, title: str) -> None:
        """An invisible column from `low` to `high` that shows `title` under the pointer."""
        left, top = self.at(low, self.y.high)
        right, bottom = self.at(high, self.y.low)
        box = f'x="{left}" y="{top}" width="{max(0.5, right - left):.1f}" height="{bottom - top:.1f}"'
        self._marks.append(f'<rect class="band" {box}>{_title(title)}</rect>')

    def svg(self) -> str:
        kind = ' class="wide"' if self.width == WIDE else ""
        head = f'<svg{kind} viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(self.title)}">'
        return "".join([head, *self._grid(), *self._marks, "</svg>"])

    def _path(self, points: Iterable[tuple[float, float]]) -> str:
        places = [self.at(x, y) for x, y in points]
        return "M" + "L".join(f"{left:g} {top:g}" for left, top in places) if places else ""

    def _grid(self) -> list[str]:
        right, bottom = self.width - RIGHT, self.height - BOTTOM
        parts = [f'<text class="axis" x="{LEFT}" y="14" text-anchor="start">{escape(self.y.label)}</text>']
        for value, words in self.y.marks():
            top = self.at(self.x.low, value)[1]
            parts.append(f'<path class="grid" d="M{LEFT} {top}H{right}"/>')
            parts.append(f'<text class="tick" x="{LEFT - 8}" y="{top + 4}" text-anchor="end">{escape(words)}</text>')
        for value, words in self.x.marks():
            left = self.at(value, self.y.low)[0]
            parts.append(f'<path class="grid" d="M{left} {bottom}v5"/>')
            parts.append(f'<text class="tick" x="{left}" y="{bottom + 18}" text-anchor="middle">{escape(words)}</text>')
        parts.append(f'<path class="base" d="M{LEFT} {bottom}H{right}"/>')
        place = f'x="{right}" y="{self.height - 6}" text-anchor="end"'
        return [*parts, f'<text class="axis" {place}>{escape(self.x.label)}</text>']


def _title(words: str) -> str:
    return f"<title>{escape(words)}</title>" if words else ""
