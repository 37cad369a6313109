"""Never twice, never where there is no room, and the closest sets: compared with trying everything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo_cli.gpus.allocate import Request, allocate, fits
from dynamo_cli.gpus.closeness import Closeness, closeness, distance
from dynamo_cli.gpus.gpu import Gpu, Peer
from dynamo_cli.gpus.search import MOST_WAYS, Want, _Search
from dynamo_cli.gpus.usable import crowding, obstacle
from tests.gpus.machines import BRIDGED, CUBE, DGX, GIB, MIXED, PCIE, SPLIT, filled, gpu, joined, shuffled

SHAPES = {"dgx": DGX, "cube": CUBE, "pcie": PCIE, "bridged": BRIDGED, "split": SPLIT, "mixed": MIXED}
SIZES = st.lists(st.sampled_from([1, 1, 2, 2, 3, 4]), min_size=1, max_size=4)


@st.composite
def machines(draw: st.DrawFn, shapes: Sequence[str] = tuple(SHAPES)) -> list[Gpu]:
    shape = list(SHAPES[draw(st.sampled_from(shapes))])
    free = st.sampled_from([10, 10, 10, 9, 7, 4, 0])
    return filled(shape, draw(st.lists(free, min_size=len(shape), max_size=len(shape))))


def indexes(given: list[tuple[Gpu, ...]] | None) -> list[list[int]]:
    assert given is not None
    return [[each.index for each in gpus] for gpus in given]


def all_ways(gpus: Sequence[Gpu], sizes: Sequence[int]) -> Iterator[list[tuple[Gpu, ...]]]:
    if not sizes:
        yield []
        return
    for chosen in combinations(gpus, sizes[0]):
        left = [each for each in gpus if each not in chosen]
        for rest in all_ways(left, sizes[1:]):
            yield [chosen, *rest]


def worth(way: Sequence[Sequence[Gpu]]) -> tuple[int, ...]:
    """What must be least: memory that others hold, then closeness class, pairs and lanes, summed over the replicas."""
    rows = [(sum(map(crowding, gpus)), *distance(gpus)) for gpus in way]
    return tuple(map(sum, zip(*rows, strict=True)))


@given(machines(), SIZES, st.lists(st.integers(0, 20), max_size=3), st.booleans())
def test_nothing_is_given_twice_or_without_room(
    gpus: list[Gpu], sizes: list[int], taken: list[int], small: bool
) -> None:
    away = {gpus[at % len(gpus)].uuid for at in taken}
    memory = 3 * GIB if small else 0
    requests = [Request(size, memory) for size in sizes]
    given = allocate(gpus, requests, away)
    if given is None:
        return
    assert [len(each) for each in given] == sizes
    used = [each for gpus in given for each in gpus]
    assert len({each.uuid for each in used}) == len(used)
    assert not away & {each.uuid for each in used}
    assert not [each for each in used if obstacle(each, memory)]
    split = {each.index for each in used if each.profile}
    assert not split & {each.index for each in used if not each.profile}


@settings(max_examples=60)
@given(machines(["dgx", "cube", "pcie", "bridged"]), st.sampled_from([[2], [4], [3], [2, 2], [2, 1], [4, 2], [1, 1]]))
def test_no_other_way_is_better(gpus: list[Gpu], sizes: list[int]) -> None:
    usable = [each for each in gpus if not obstacle(each)]
    best = min((worth(way) for way in all_ways(usable, sizes)), default=None)
    given = allocate(gpus, [Request(size) for size in sizes])
    assert (worth(given) if given else None) == best


@given(machines(), SIZES, st.integers(0, 99))
def test_the_choice_does_not_depend_on_the_order_told(gpus: list[Gpu], sizes: list[int], seed: int) -> None:
    requests = [Request(size) for size in sizes]
    assert allocate(gpus, requests) == allocate(shuffled(gpus, seed), requests)


@pytest.mark.parametrize("shape", ["dgx", "cube", "pcie", "bridged"])
@pytest.mark.parametrize("sizes", [[2], [4], [2, 2], [2, 1], [3, 1], [1, 1, 1]])
def test_the_quick_way_is_as_good_on_idle_machines(shape: str, sizes: list[int]) -> None:
    gpus = SHAPES[shape]
    search = _Search(gpus, [Want(size) for size in sizes])
    exact, quick = search.exact(), search.heuristic()
    assert exact and quick
    ways = [[[gpus[at] for at in members] for members in way] for way in (exact, quick)]
    assert worth(ways[1])[:2] == worth(ways[0])[:2]


def test_a_large_machine_is_served_without_trying_everything() -> None:
    pairs = {(a, b): Peer(nvlink=4, path="PIX") for a in range(0, 32, 2) for b in (a + 1,)}
    gpus = joined([gpu(index) for index in range(32)], pairs)
    search = _Search(gpus, [Want(2)] * 16)
    assert search.ways > MOST_WAYS
    given = allocate(gpus, [Request(2)] * 16)
    assert given is not None
    assert {closeness(each) for each in given} == {Closeness.NVLINK_ALL}
    assert allocate(gpus, [Request(17), Request(16)]) is None
    wide = allocate(gpus, [Request(8)] * 4)
    assert wide is not None and len({each.uuid for each in sum(wide, ())}) == 32
    assert indexes(allocate(gpus, [Request(1)] * 32)) == [[at] for at in range(32)]


def test_the_closest_set_by_each_kind_of_link() -> None:
    plain = [gpu(index) for index in range(4)]
    far = {pair: Peer(path="SYS") for pair in combinations(range(4), 2)}
    for better in (Peer(path="NODE"), Peer(path="PHB"), Peer(path="PXB"), Peer(path="PIX"), Peer(nvlink=1, path="SYS")):
        far |= {(1, 3): better}
        assert indexes(allocate(joined(plain, far), [Request(2)])) == [[1, 3]]
        far |= {(0, 2): better}
        assert indexes(allocate(joined(plain, far), [Request(2)])) == [[0, 2]]
        del far[0, 2]
    far |= {(0, 2): Peer(nvlink=2), (1, 3): Peer(nvlink=1)}
    assert indexes(allocate(joined(plain, far), [Request(2)])) == [[0, 2]]


def test_the_quad_of_a_cube_mesh_and_the_pairs_with_more_lanes() -> None:
    assert indexes(allocate(CUBE, [Request(4), Request(4)])) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    (pair,) = allocate(CUBE, [Request(2)]) or [()]
    assert pair[0].peers[pair[1].uuid].nvlink == 2


def test_those_who_come_later_still_find_close_sets() -> None:
    assert indexes(allocate(PCIE, [Request(1), Request(2), Request(2), Request(2), Request(1)])) == [
        [6], [0, 1], [2, 3], [4, 5], [7]
    ]  # fmt: skip
    left = {"GPU-3"}
    assert indexes(allocate(PCIE, [Request(1)], left)) == [[2]], "the one whose partner is gone"
    assert indexes(allocate(PCIE, [Request(2)], left)) == [[0, 1]]
    assert indexes(allocate(BRIDGED, [Request(2), Request(2)])) == [[0, 1], [2, 3]]


def test_memory_comes_before_closeness() -> None:
    gpus = filled(PCIE, [10, 5, 5, 10, 5, 5, 5, 5])
    assert indexes(allocate(gpus, [Request(2)])) == [[0, 3]]
    assert indexes(allocate(gpus, [Request(2, 20 * GIB)])) == [[0, 1]], "when it is known that this is enough"


def test_the_freest_first_then_the_fewer_holders_then_the_lower_index() -> None:
    assert indexes(allocate([gpu(0, 40), gpu(1, 79), gpu(2, 20), gpu(3, 60)], [Request(1)] * 3)) == [[1], [3], [0]]
    assert indexes(allocate([gpu(0, 70, [1]), gpu(1, 70), gpu(2, 70)], [Request(1)])) == [[1]]


def test_who_wants_more_memory_gets_it() -> None:
    gpus = [gpu(0, 30), gpu(1, 70), gpu(2, 50)]
    requests = [Request(1, 20 * GIB), Request(1, 60 * GIB), Request(1, 40 * GIB)]
    assert indexes(allocate(gpus, requests)) == [[0], [1], [2]]


def test_compute_modes() -> None:
    gpus = [gpu(0, compute_mode="prohibited"), gpu(1, 79, [7], compute_mode="exclusive"), gpu(2, 79, [7])]
    assert indexes(allocate(gpus, [Request(1)])) == [[2]]


@pytest.mark.parametrize(
    ("requests", "uuids"),
    [
        ([Request(1)] * 2, ["MIG-0-0", "MIG-0-1"]),
        ([Request(1, mig="mig-1g.10gb")] * 2, ["MIG-0-2", "MIG-1-2"]),
        ([Request(1, 5 * GIB)], ["MIG-0-2"]),
        ([Request(1, 30 * GIB, "mig")], ["MIG-0-0"]),
        ([Request(1, mig="mig"), Request(1, mig="mig-3g.40gb")], ["MIG-0-1", "MIG-0-0"]),
    ],
)
def test_mig_instances(requests: list[Request], uuids: list[str]) -> None:
    given = allocate(SPLIT, requests)
    assert given is not None
    assert [each.uuid for (each,) in given] == uuids
    assert all(fits(each, request.mig) for (each,), request in zip(given, requests, strict=True))


def test_parts_only_when_they_are_asked_for_or_there_is_nothing_else() -> None:
    assert indexes(allocate(MIXED, [Request(1)] * 2)) == [[0], [1]]
    assert allocate(MIXED, [Request(1)] * 3) is None
    assert allocate(SPLIT, [Request(2)]) is None
    assert allocate(SPLIT, [Request(1, mig="mig-7g.80gb")]) is None
    given = allocate(MIXED, [Request(2), Request(1, mig="mig")])
    assert given is not None and given[1][0].uuid == "MIG-2-0"


def test_nothing_wanted_and_nothing_there() -> None:
    assert allocate([], []) == []
    assert allocate([], [Request(0)]) == [()]
    assert allocate([], [Request(1)]) is None
