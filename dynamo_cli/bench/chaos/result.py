"""A measured fault, and the table of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dynamo_cli.bench.budgets.result import machine
from dynamo_cli.bench.chaos.outcome import Seen


class Result(msgspec.Struct, kw_only=True):
    """`fault_s`: how long it took to do; `recovery_s`: from its end until everything was well, None for too long.

    `left_behind`: processes that outlived `down`.
    """

    row: str
    what: str
    seen: Seen
    fault_s: float
    recovery_s: float | None
    left_behind: list[str] = []

    @property
    def met(self) -> bool:
        """Nothing failed that could be saved, everything came back, and nothing was left."""
        return not (self.seen.lost or self.seen.differ or self.left_behind) and self.recovery_s is not None


class SkippedRow(msgspec.Struct, kw_only=True):
    row: str
    what: str
    skipped: str


HEADS = (
    "fault",
    "requests",
    "failed",
    "cut",
    "of these with a killed frontend",
    "longest gap",
    "longest first token",
    "recovery",
    "other texts",
    "left behind",
)


def as_json(results: Sequence[Result | SkippedRow], streams: int) -> str:
    rows = [msgspec.to_builtins(each) | ({"met": each.met} if isinstance(each, Result) else {}) for each in results]
    return msgspec.json.encode({"machine": machine(), "streams": streams, "results": rows}).decode() + "\n"


def as_table(results: Sequence[Result | SkippedRow], streams: int) -> str:
    """In Markdown."""
    lines = [f"{machine()}; {streams} streams", "", _line(HEADS), _line(["---"] * len(HEADS))]
    lines += [_line(_cells(each)) for each in results if isinstance(each, Result)]
    skipped = [f"\nNot run: {each.what}: {each.skipped}" for each in results if isinstance(each, SkippedRow)]
    return "\n".join(lines + skipped) + "\n"


def in_words(each: Result | SkippedRow) -> str:
    """One line of progress."""
    if isinstance(each, SkippedRow):
        return f"{each.row}: not run: {each.skipped}"
    reasons = [f"{count} x {words}" for words, count in each.seen.errors.items()]
    met = "" if each.met else "  NOT MET"
    return "\n  ".join([f"{each.row}: {', '.join(_cells(each)[1:])}{met}", *reasons, *each.left_behind])


def _cells(each: Result) -> list[str]:
    view = each.seen
    return [
        each.what,
        *map(str, (view.requests, view.failed, view.cut, view.with_frontend)),
        f"{view.longest_gap_s:.2f} s",
        f"{view.longest_first_s:.2f} s",
        "never" if each.recovery_s is None else f"{each.recovery_s:.2f} s",
        str(view.differ),
        str(len(each.left_behind)),
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
