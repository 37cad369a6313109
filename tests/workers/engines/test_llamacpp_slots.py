"""Who gets which slot, and the files that states pass through."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.workers.engines.llamacpp.slots import Slots, shared_prefix
from dynamo_cli.workers.engines.llamacpp.state_file import StateFiles


@given(st.lists(st.integers(0, 1), max_size=30), st.lists(st.integers(0, 1), max_size=30))
def test_a_shared_prefix_is_what_comparing_one_by_one_finds(one: list[int], other: list[int]) -> None:
    counted = 0
    while counted < min(len(one), len(other)) and one[counted] == other[counted]:
        counted += 1
    assert shared_prefix(one, other) == counted


def test_a_prompt_gets_the_slot_that_holds_its_beginning() -> None:
    slots = Slots(3)
    first, second = slots.take([1, 2, 3]), slots.take([7, 8, 9])
    slots.give_back(first, [1, 2, 3, 4])
    slots.give_back(second, [7, 8, 9])
    assert slots.take([7, 8, 9, 10]) == second
    assert slots.take([1, 2, 3]) == first


def test_without_a_beginning_it_is_the_one_unused_the_longest() -> None:
    slots = Slots(3)
    taken = [slots.take([]) for _ in range(3)]
    assert sorted(taken) == [0, 1, 2]
    for slot in (taken[1], taken[2], taken[0]):
        slots.give_back(slot, [1, *range(100 * slot, 100 * slot + 50)])
    assert slots.take([1, 99999, *range(50_000, 50_040)]) == taken[1]  # one token of 42 is as good as none
    assert slots.take([]) == taken[2]


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_file_is_gone_once_it_is_closed_and_what_is_mapped_stays(tmp_path: Path, in_memory: bool) -> None:
    files = StateFiles(str(tmp_path), in_memory=in_memory)
    with files.open() as file:
        path = Path(files.path + file.name)
        path.write_bytes(b"a state")
        memory = file.memory()
        assert Path(files.path).is_dir() and files.path.endswith("/")
    assert memory[:] == b"a state"
    assert not path.exists() and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_file_is_filled_from_here(tmp_path: Path, in_memory: bool) -> None:
    files = StateFiles(str(tmp_path), in_memory=in_memory)
    with files.open() as file:
        file.memory(5)[:] = b"state"
        assert Path(files.path + file.name).read_bytes() == b"state"
