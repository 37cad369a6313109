"""Columns that fit a terminal: those that are worth least are left out first. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

GAP = "  "
NOTHING = "-"


def widths(lines: Sequence[Sequence[str]], steady: Mapping[int, int] | None = None) -> list[int]:
    """Of each column, its head included; not below those of `steady`."""
    least = steady or {}
    return [max(least.get(at, 0), *(len(line[at]) for line in lines)) for at in range(len(lines[0]))]


def filled(lines: Sequence[Sequence[str]]) -> list[int]:
    """The columns that say something below their heads."""
    return [at for at in range(len(lines[0])) if any(line[at] != NOTHING for line in lines[1:])]


def fitting(
    chosen: Sequence[int], sizes: Sequence[int], spared: Sequence[int], width: int, left: int = 0
) -> tuple[list[int], int]:
    """Without those of `spared`, first to last, that have to go so that `left` letters remain; and how many do."""
    kept = list(chosen)

    def room() -> int:
        return width - sum(sizes[at] + len(GAP) for at in kept)

    for spare in spared:
        if room() < left and spare in kept:
            kept.remove(spare)
    return kept, room()


def aligned(
    lines: Sequence[Sequence[str]], chosen: Sequence[int], sizes: Sequence[int], right: Collection[int] = ()
) -> list[str]:
    """A line of text each; columns of `right` have their cells at their right ends."""
    return [
        GAP.join(line[at].rjust(sizes[at]) if at in right else line[at].ljust(sizes[at]) for at in chosen).rstrip()
        for line in lines
    ]
