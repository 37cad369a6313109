from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.gpus.gpu import Gpu
from dynamo_cli.gpus.pick import pick_gpus


def gpu(index: int, free: int, processes: int = 0) -> Gpu:
    return Gpu(index=index, uuid=f"GPU-{index}", memory_free=free, processes=tuple(range(processes)))


def test_the_freest_in_order_of_index() -> None:
    gpus = [gpu(0, 10), gpu(1, 80), gpu(2, 5), gpu(3, 70)]
    assert [picked.index for picked in pick_gpus(gpus, 1)] == [1]
    assert [picked.index for picked in pick_gpus(gpus, 3)] == [0, 1, 3]


def test_ties_go_to_the_fewer_processes_then_the_lower_index() -> None:
    gpus = [gpu(0, 10, processes=1), gpu(1, 10), gpu(2, 10)]
    assert [picked.index for picked in pick_gpus(gpus, 1)] == [1]
    assert [picked.index for picked in pick_gpus(gpus, 2)] == [1, 2]


def test_taken_ones_are_not_picked_and_a_short_machine_gives_what_it_has() -> None:
    gpus = [gpu(0, 10), gpu(1, 80)]
    assert [picked.index for picked in pick_gpus(gpus, 2, {"GPU-1"})] == [0]
    assert pick_gpus([], 1) == ()
    assert pick_gpus(gpus, 0) == ()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=8), st.integers(0, 8), st.integers(0, 99))
def test_the_choice_does_not_depend_on_the_order_told(boards: list[tuple[int, int]], count: int, seed: int) -> None:
    gpus = [gpu(index, free, processes) for index, (free, processes) in enumerate(boards)]
    shuffled = random.Random(seed).sample(gpus, len(gpus))
    picked = pick_gpus(gpus, count)
    assert picked == pick_gpus(shuffled, count)
    assert len(picked) == min(count, len(gpus))
    left = [other for other in gpus if other not in picked]
    assert all(one.memory_free >= other.memory_free for one in picked for other in left)
