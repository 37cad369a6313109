"""A measured row, and the table of them."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

import msgspec

TOLERANCE = 1.1


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Medians of `runs`. `reference`: the same work by the reference in the same minutes, where it does it too.

    `floor`: what the machine takes for it without any server's work, where that is known.
    """

    row: str
    what: str
    unit: str
    budget: float
    measured: float
    runs: list[float]
    reference: float | None = None
    reference_runs: list[float] = []
    floor: float | None = None

    @property
    def ratio(self) -> float:
        return self.measured / self.budget

    @property
    def met(self) -> bool:
        """A tenth above the budget is allowed."""
        return self.ratio <= TOLERANCE


def as_json(results: Sequence[Result]) -> str:
    rows = [msgspec.structs.asdict(each) | {"ratio": round(each.ratio, 3), "met": each.met} for each in results]
    return msgspec.json.encode({"machine": machine(), "results": rows}).decode() + "\n"


def as_table(results: Sequence[Result]) -> str:
    """In Markdown; with the reference's columns when it was measured."""
    beside = any(each.reference is not None for each in results)
    heads = ["work", "budget", "measured", "of budget", "met", *(["reference", "of reference"] if beside else [])]
    lines = [f"{machine()}; medians", "", _line(heads), _line(["---"] * len(heads))]
    lines += [_line(_cells(each, beside)) for each in results]
    return "\n".join(lines + [_floor(each) for each in results if each.floor is not None]) + "\n"


def machine() -> str:
    return f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _floor(each: Result) -> str:
    return f"\nOf {each.what}: a bare server that only reads and writes took {each.floor:.3g} {each.unit}."


def _cells(each: Result, beside: bool) -> list[str]:
    cells = [
        each.what,
        f"{each.budget:g} {each.unit}",
        f"{each.measured:.3g} {each.unit}",
        f"{each.ratio:.2f}",
        "yes" if each.met else "no",
    ]
    if beside and each.reference is None:
        cells += ["", ""]
    elif each.reference is not None:
        share = f"{each.measured / each.reference:.2f}" if each.reference else ""
        cells += [f"{each.reference:.3g} {each.unit}", share]
    return cells
