"""The result of looking at one thing, and how it is worded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

Status = Literal["ok", "warn", "error", "skipped"]
STATUSES: tuple[Status, ...] = ("ok", "warn", "error", "skipped")

MIB, GIB = 2**20, 2**30


class Check(NamedTuple):
    """`name` is the same on every machine and in every release. `fix` is what to do, "" when nothing is to be done."""

    name: str
    status: Status
    detail: str
    fix: str = ""


class Question(NamedTuple):
    """`name` is that of the check that says it could not be answered."""

    name: str
    answer: Callable[[], Check | Iterable[Check]]


def ok(name: str, detail: str) -> Check:
    return Check(name, "ok", detail)


def warn(name: str, detail: str, fix: str = "") -> Check:
    return Check(name, "warn", detail, fix)


def error(name: str, detail: str, fix: str = "") -> Check:
    return Check(name, "error", detail, fix)


def skipped(name: str, detail: str) -> Check:
    return Check(name, "skipped", detail)


def size(count: float) -> str:
    """Bytes in words: `812 MiB`, `2.0 GiB`, `112 GiB`."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB" if count < 100 else f"{count:.0f} GiB"


def counted(number: int, noun: str) -> str:
    """`1 process`, `2 processes`."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
