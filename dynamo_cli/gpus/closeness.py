"""How close a set of GPUs is, for an engine that splits a model over them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from itertools import combinations
from typing import NamedTuple

from dynamo_cli.gpus.gpu import Gpu, Peer

MOST_LANES = 36
SAME_SWITCH, SAME_NODE = ("PIX", "PXB"), ("PIX", "PXB", "PHB", "NODE")
FAR, UNKNOWN = 8, 6
COSTS = {"PIX": 1, "PXB": 2, "PHB": 3, "NODE": 4, "SYS": FAR}
"""Of a pair without NVLink; with it a pair costs 0."""


class Closeness(IntEnum):
    """Closest first."""

    NVLINK_ALL = 0
    NVLINK = 1
    SWITCH = 2
    NUMA = 3
    ANY = 4

    @property
    def words(self) -> str:
        return WORDS[self]


WORDS = ("NVLink", "NVLink, not between all", "one PCIe switch", "one NUMA node", "no close path between them")


class Distance(NamedTuple):
    """Less is closer. `pairs`: the sum of their costs. `narrowest`, `lacking`: NVLink lanes missing in the worst pair
    and in all."""

    closeness: int = 0
    pairs: int = 0
    narrowest: int = 0
    lacking: int = 0


class Pair(NamedTuple):
    """`kind`: the class that the pair is of alone."""

    cost: int = 0
    lanes: int = MOST_LANES
    kind: Closeness = Closeness.NVLINK_ALL


class Paths:
    """The pairs of a machine's GPUs, by position."""

    def __init__(self, gpus: Sequence[Gpu]) -> None:
        self.pairs = [[Pair() if one is other else _pair(one, other) for other in gpus] for one in gpus]

    def distance(self, members: Sequence[int]) -> Distance:
        """Of one or more GPUs; one is as close to itself as can be."""
        if len(members) < 2:
            return Distance()
        pairs = [self.pairs[one][other] for one, other in combinations(members, 2)]
        worst = max(pair.kind for pair in pairs)
        if worst > Closeness.NVLINK and self._joined(members):
            worst = Closeness.NVLINK
        lacking = [MOST_LANES - pair.lanes for pair in pairs]
        return Distance(worst, sum(pair.cost for pair in pairs), max(lacking), sum(lacking))

    def _joined(self, members: Sequence[int]) -> bool:
        """Whether NVLink leads from each to every other, if only through others of them."""
        reached, left = [members[0]], set(members[1:])
        for one in reached:
            near = {other for other in left if self.pairs[one][other].lanes}
            reached += near
            left -= near
        return not left


def distance(gpus: Sequence[Gpu]) -> Distance:
    return Paths(gpus).distance(range(len(gpus)))


def closeness(gpus: Sequence[Gpu]) -> Closeness:
    return Closeness(distance(gpus).closeness)


def peer_of(one: Gpu, other: Gpu) -> Peer:
    return one.peers.get(other.uuid, Peer())


def _pair(one: Gpu, other: Gpu) -> Pair:
    peer = peer_of(one, other)
    same_node = peer.path in SAME_NODE if peer.path else one.numa is not None and one.numa == other.numa
    if one.name != other.name:
        return Pair(2 * FAR, 0, Closeness.ANY)  # the slower one would set the pace
    if peer.nvlink:
        return Pair(0, peer.nvlink, Closeness.NVLINK_ALL)
    kind = Closeness.SWITCH if peer.path in SAME_SWITCH else Closeness.NUMA if same_node else Closeness.ANY
    return Pair(COSTS.get(peer.path) or (COSTS["NODE"] if same_node else UNKNOWN), 0, kind)
