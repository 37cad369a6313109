"""What a trace asks for, and the most that could be found of it."""

from __future__ import annotations

import pytest

from dynamo_cli.bench.replay.ceiling import pooled_lru_hit_ratio
from dynamo_cli.bench.replay.synthetic import conversations, uniform
from dynamo_cli.bench.replay.workload import workload
from dynamo_cli.bench.traces.request import TracedRequest
from dynamo_cli.errors import UsageError


def request(at: float, blocks: list[int], *, tokens: int | None = None, size: int = 16) -> TracedRequest:
    return TracedRequest(at, len(blocks) * size if tokens is None else tokens, 10, blocks, size)


def test_times_begin_with_the_first_request_and_are_as_fast_as_asked() -> None:
    load = workload([request(100.0, [1]), request(103.0, [2])], speed=6)
    assert [arrival.at for arrival in load.arrivals] == [0.0, 0.5]


def test_a_last_block_that_is_not_full_is_asked_for_but_can_be_in_no_cache() -> None:
    load = workload([request(0.0, [1, 2, 3], tokens=40), request(1.0, [1, 2, 3], tokens=48)])
    assert [arrival.full for arrival in load.arrivals] == [2, 3]
    assert (load.asked_blocks, load.unique_blocks) == (6, 3)


def test_the_first_requests_only() -> None:
    assert len(workload((request(at, [at]) for at in range(10)), limit=3).arrivals) == 3


def test_an_answer_has_at_least_one_token() -> None:
    load = workload([TracedRequest(0.0, 16, 0, [1], 16)])
    assert load.arrivals[0].output_tokens == 1


def test_a_trace_without_requests() -> None:
    with pytest.raises(UsageError, match="has no requests"):
        workload([])


def test_blocks_of_several_sizes() -> None:
    with pytest.raises(UsageError, match="blocks of 16 and 32 tokens"):
        workload([request(0.0, [1]), request(1.0, [1], size=32)])


def test_the_ceiling_of_a_cache_that_holds_all() -> None:
    load = workload([request(0, [1, 2]), request(1, [1, 2, 3]), request(2, [9]), request(3, [1, 2, 3])])
    assert pooled_lru_hit_ratio(load, 100) == pytest.approx(5 / 9)


def test_a_small_cache_forgets_what_was_asked_longest_ago_and_the_end_of_a_prompt_first() -> None:
    load = workload([request(0, [1, 2]), request(1, [9]), request(2, [1, 2])])
    assert pooled_lru_hit_ratio(load, 2) == pytest.approx(1 / 5)


def test_what_is_found_is_a_prefix() -> None:
    load = workload([request(0, [1, 2]), request(1, [3, 2])])
    assert pooled_lru_hit_ratio(load, 100) == 0


@pytest.mark.parametrize("make", [uniform, conversations])
def test_made_traces_are_sound_and_come_again_with_their_seed(make: type) -> None:
    made = list(make(500, 5.0, seed=3))
    assert made == list(make(500, 5.0, seed=3))
    assert made != list(make(500, 5.0, seed=4))
    times = [each.timestamp_s for each in made]
    assert times == sorted(times)
    for each in made:
        assert (len(each.blocks) - 1) * each.block_size < each.input_length <= len(each.blocks) * each.block_size
