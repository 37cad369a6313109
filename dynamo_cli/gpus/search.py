"""The best disjoint sets of GPUs for several replicas: of all ways on small machines, a good one on large. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import combinations, takewhile
from math import comb, factorial
from typing import NamedTuple

from dynamo_cli.gpus.closeness import FAR, MOST_LANES, Paths
from dynamo_cli.gpus.gpu import Gpu
from dynamo_cli.gpus.usable import GIB, crowding, obstacle

MOST_WAYS = 20_000
"""More are not all tried: that would take longer than a person waits for a plan."""
MOST_SETS = 3_000
PASSES = 4

Set = tuple[int, ...]
"""Positions in the list of GPUs, ascending."""
Cost = tuple[int, ...]
"""Compared in order: memory that others hold; closeness, its pairs and lanes."""


class Want(NamedTuple):
    """`size` whole GPUs with `memory` bytes free on each."""

    size: int
    memory: int = 0


def best_sets(gpus: Sequence[Gpu], wants: Sequence[Want]) -> list[tuple[Gpu, ...]] | None:
    """A set for each want, in its order; None when there are too few GPUs."""
    order = sorted(range(len(wants)), key=lambda at: (-wants[at].memory, -wants[at].size, at))
    search = _Search(gpus, [wants[at] for at in order])
    if not search.enough:
        return None
    chosen = search.exact() if search.ways <= MOST_WAYS else search.heuristic()
    if chosen is None:
        return None
    given: list[tuple[Gpu, ...]] = [()] * len(wants)
    for at, members in zip(order, search.sorted_among_equals(chosen), strict=True):
        given[at] = tuple(gpus[position] for position in members)
    return given


class _Search:
    def __init__(self, gpus: Sequence[Gpu], wants: list[Want]) -> None:
        self.gpus = gpus
        self.wants = wants
        self._costs: dict[tuple[Set, int], Cost] = {}
        self._paths = Paths(gpus)
        needs = {want.memory for want in wants}
        self._usable = {need: [at for at, gpu in enumerate(gpus) if not obstacle(gpu, need)] for need in sorted(needs)}

    @property
    def enough(self) -> bool:
        """Whether there are GPUs for all, the most demanding first."""
        wanted = 0
        for want in self.wants:
            wanted += want.size
            if wanted > len(self._usable[want.memory]):
                return False
        return True

    @property
    def ways(self) -> int:
        """How many ways there are at most to choose, equal wants being alike."""
        left, product = max(map(len, self._usable.values()), default=0), 1
        for want in dict.fromkeys(self.wants):
            number = self.wants.count(want)
            for _ in range(number):
                product *= comb(max(left, 0), want.size)
                left -= want.size
            product //= factorial(number)
        return product

    def exact(self) -> list[Set] | None:
        """Of all ways the best."""
        best: tuple[tuple[int, ...], list[Set]] | None = None

        def extend(chosen: list[Set], cost: Cost, used: frozenset[int]) -> None:
            nonlocal best
            if best and cost > best[0][: len(cost)]:
                return
            if len(chosen) == len(self.wants):
                total = self._total(chosen, cost)
                if best is None or total < best[0]:
                    best = (total, chosen)
                return
            want = self.wants[len(chosen)]
            for members in self._sets(len(chosen), used, chosen[-1] if chosen else ()):
                extend([*chosen, members], _sum(cost, self._cost(members, want)), used | set(members))

        extend([], (), frozenset())
        return best[1] if best else None

    def heuristic(self) -> list[Set] | None:
        """The best set for one after another, then exchanges as long as they help."""
        chosen: list[Set] = []
        for want in self.wants:
            used = frozenset(at for members in chosen for at in members)
            found = self._good_set(want, used)
            if found is None:
                return None
            chosen.append(found)
        for _ in range(PASSES):
            before = self._value(chosen)
            self._exchange(chosen)
            if self._value(chosen) == before:
                break
        return chosen

    def sorted_among_equals(self, chosen: Sequence[Set]) -> list[Set]:
        """Of replicas that want the same, the first get the freest."""
        result = list(chosen)
        for want in dict.fromkeys(self.wants):
            places = [at for at, other in enumerate(self.wants) if other == want]

            def order(members: Set, need: int = want.memory) -> tuple[int, int, Set]:
                return (self._crowding(members, need), -min(map(self._free_gib, members)), members)

            ranked = sorted((chosen[at] for at in places), key=order)
            for at, members in zip(places, ranked, strict=True):
                result[at] = members
        return result

    def _sets(self, number: int, used: frozenset[int], before: Set) -> Iterator[Set]:
        """The sets that this want could have; those of equal wants in ascending order, or each way would come often."""
        want = self.wants[number]
        again = number > 0 and self.wants[number - 1] == want
        free = [at for at in self._usable[want.memory] if at not in used and (not again or at > before[0])]
        spare = len(free) - want.size * self.wants[number:].count(want)
        if spare >= 0:
            yield from takewhile(lambda members: members[0] <= free[spare], combinations(free, want.size))

    def _good_set(self, want: Want, used: frozenset[int]) -> Set | None:
        free = [at for at in self._usable[want.memory] if at not in used]
        if len(free) < want.size:
            return None
        many = comb(len(free), want.size) > MOST_SETS
        candidates = (self._grown(seed, free, want) for seed in free) if many else combinations(free, want.size)
        return min(candidates, key=lambda members: self._total([members], self._cost(members, want), free))

    def _grown(self, seed: int, free: Sequence[int], want: Want) -> Set:
        """From one GPU on, always the one that is closest to those that are there."""
        members = [seed]

        def far(at: int) -> tuple[int, int, int, int]:
            pairs = [self._paths.pairs[at][other] for other in members]
            lacking = sum(MOST_LANES - pair.lanes for pair in pairs)
            return (crowding(self.gpus[at], want.memory), sum(pair.cost for pair in pairs), lacking, at)

        while len(members) < want.size:
            members.append(min((at for at in free if at not in members), key=far))
        return tuple(sorted(members))

    def _exchange(self, chosen: list[Set]) -> None:
        """Swap members with the unused and with each other where that makes the whole better."""
        value = self._value(chosen)
        for at, want in enumerate(self.wants):
            for member in chosen[at]:
                for other in self._usable[want.memory]:
                    changed = self._swapped(chosen, at, member, other)
                    if changed and (better := self._value(changed)) < value:
                        chosen[:], value, member = changed, better, other

    def _swapped(self, chosen: Sequence[Set], at: int, member: int, other: int) -> list[Set] | None:
        if other in chosen[at]:
            return None
        owner = next((i for i, members in enumerate(chosen) if other in members), None)
        if owner is not None and member not in self._usable[self.wants[owner].memory]:
            return None
        changed = list(chosen)
        changed[at] = tuple(sorted({*chosen[at], other} - {member}))
        if owner is not None:
            changed[owner] = tuple(sorted({*chosen[owner], member} - {other}))
        return changed

    def _value(self, chosen: Sequence[Set]) -> tuple[int, ...]:
        cost: Cost = ()
        for members, want in zip(chosen, self.wants, strict=True):
            cost = _sum(cost, self._cost(members, want))
        return self._total(chosen, cost)

    def _total(self, chosen: Sequence[Set], cost: Cost, free: Sequence[int] | None = None) -> tuple[int, ...]:
        """All that counts: the sets themselves, what is torn apart of what is left, free memory, holders, order."""
        used = sorted(at for members in chosen for at in members)
        left = [at for at in (self._anyone if free is None else free) if at not in used]
        torn = sum(self._near[at][other] for at in used for other in left)
        held = sum(len(self.gpus[at].holders) for at in used)
        return (*cost, torn, -sum(map(self._free_gib, used)), held, *used)

    def _cost(self, members: Set, want: Want) -> Cost:
        known = self._costs.get((members, want.memory))
        if known is None:
            known = (self._crowding(members, want.memory), *self._paths.distance(members))
            self._costs[members, want.memory] = known
        return known

    def _crowding(self, members: Set, need: int) -> int:
        return sum(crowding(self.gpus[at], need) for at in members)

    def _free_gib(self, at: int) -> int:
        return self.gpus[at].memory_free // GIB

    @cached_property
    def _anyone(self) -> list[int]:
        return sorted({at for usable in self._usable.values() for at in usable})

    @cached_property
    def _near(self) -> list[list[int]]:
        """How close each two are, more is closer."""
        return [[2 * FAR - pair.cost for pair in row] for row in self._paths.pairs]


def _sum(one: Cost, other: Cost) -> Cost:
    return tuple(a + b for a, b in zip(one, other, strict=True)) if one else other
