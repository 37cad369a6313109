"""The simulator with a clock of its own: nothing waits."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.kv import Cleared, Removed, Stored
from dynamo_cli.workers.engines.mock.simulation.blocks import BlockPool
from dynamo_cli.workers.engines.mock.simulation.sequence import Sequence
from dynamo_cli.workers.engines.mock.simulation.simulator import Simulator
from dynamo_cli.workers.engines.mock.simulation.timing import Link, StepClock, decode_ms, prefill_ms
from tests.workers.engines.simulated import Rig, blocks_add_up

__all__ = ["blocks_add_up"]


def test_an_idle_engine_has_no_step() -> None:
    assert Rig().step() is None


def test_the_first_token_comes_with_the_prefill_and_the_others_one_step_each() -> None:
    rig = Rig()
    sequence = rig.add(10, 3)
    steps = rig.run(now=5.0)
    assert [(step.prefill_tokens, step.decoding) for step in steps] == [(10, 0), (0, 1), (0, 1)]
    first, second, third = (step.ends_at for step in steps)
    assert first - 5.0 == pytest.approx(prefill_ms(10) / 1000, abs=1e-9)
    assert second - first == pytest.approx(decode_ms(3 / 100) / 1000, abs=1e-9)
    assert third - second == pytest.approx(decode_ms(3 / 100) / 1000, abs=1e-9)
    assert (sequence.first_token_at, sequence.finished_at) == (first, third)
    assert (steps[0].began, steps[2].finished) == ([sequence], [sequence])


def test_a_step_costs_more_from_the_one_that_takes_another_block() -> None:
    rig = Rig(blocks=10)
    rig.add(3, 4)
    occupied = [1, 1, 2, 2]
    times = [0.0, *(step.ends_at for step in rig.run())]
    for before, after, blocks in zip(times[1:], times[2:], occupied[1:], strict=False):
        assert after - before == pytest.approx(decode_ms(blocks / 10) / 1000, abs=1e-9)


def test_a_mixed_step_takes_both_times() -> None:
    rig = Rig(speedup=2.0)
    rig.add(4, 5)
    rig.one()
    rig.add(7, 5)
    mixed = rig.one()
    assert (mixed.prefill_tokens, mixed.decoding) == (7, 1)
    assert mixed.seconds == pytest.approx((prefill_ms(7) + decode_ms((2 + 2) / 100)) / 2 / 1000, abs=1e-9)


def test_long_prompts_are_prefilled_in_chunks_within_the_budget() -> None:
    rig = Rig(max_num_batched_tokens=8, max_num_seqs=8)
    long, short = rig.add(20, 2), rig.add(3, 2)
    steps = rig.run()
    assert [step.prefill_tokens for step in steps] == [8, 8, 7, 0]
    assert all(step.prefill_tokens + step.decoding <= 8 for step in steps)
    assert long.generated == short.generated == 2


def test_decoding_sequences_take_their_share_of_the_budget_first() -> None:
    rig = Rig(max_num_batched_tokens=4, max_num_seqs=4)
    rig.add(2, 9)
    rig.add(2, 9)
    rig.one()
    rig.add(6, 1)
    step = rig.one()
    assert (step.decoding, step.prefill_tokens) == (2, 2)


def test_a_budget_that_cannot_serve_every_sequence_is_refused() -> None:
    with pytest.raises(ValueError, match="4 tokens a pass for 5 sequences"):
        Rig(max_num_batched_tokens=4, max_num_seqs=5)


def test_no_more_sequences_than_allowed() -> None:
    rig = Rig(max_num_seqs=2)
    for _ in range(5):
        rig.add(3, 4)
    most = 0
    while rig.step() is not None:
        most = max(most, rig.simulator.load().running)
    assert most == 2


def test_requests_wait_for_blocks_in_order() -> None:
    rig = Rig(blocks=4)
    first, big, small = rig.add(7, 3), rig.add(9, 7), rig.add(1, 1)
    assert rig.one().began == [first]
    assert list(rig.simulator.waiting) == [big, small]
    ended = [sequence for step in rig.run() for sequence in step.finished]
    assert ended == [first, small, big]


def test_what_could_never_fit_is_refused_at_once() -> None:
    rig = Rig(blocks=2)
    rig.add(6, 3)
    with pytest.raises(InvalidRequest, match="6 prompt tokens and 4 to generate do not fit the KV cache of 8 tokens"):
        rig.add(6, 4)
    with pytest.raises(ValueError, match="2 names of full blocks, but 7 prompt tokens"):
        rig.simulator.add(Sequence(7, 1, [1, 2]))
    with pytest.raises(ValueError, match="0 to generate"):
        Sequence(7, 0)
    assert rig.simulator.load().waiting == 1
    assert [step.prefill_tokens for step in rig.run()] == [6, 0, 0]


def test_an_end_frees_blocks_wherever_it_strikes() -> None:
    rig = Rig(blocks=6, max_num_batched_tokens=8, max_num_seqs=8)
    decoding, prefilling, waiting = rig.add(4, 4), rig.add(10, 2), rig.add(4, 4)
    rig.one()
    assert (decoding.phase, prefilling.phase, waiting.phase) == ("decoding", "prefilling", "waiting")
    for sequence in (prefilling, waiting, decoding, decoding):
        rig.simulator.end(sequence)
        rig.check()
    assert rig.pool.active == 0
    assert rig.step() is None


# --- the prefix cache


def test_only_what_is_new_is_computed_and_told() -> None:
    rig = Rig()
    rig.add(list(range(10)), 1)
    rig.run()
    second = rig.add([*range(10), 77, 78, 79, 80, 81], 1)
    names = second.names
    rig.add(list(range(100, 104)), 1)
    step = rig.one()
    assert (second.cached_tokens, step.prefill_tokens) == (8, 7 + 4)
    assert rig.events() == [Stored([*names[2:], *rig.sequences[2].names])]


def test_a_whole_prompt_is_never_cached_or_there_would_be_no_token() -> None:
    rig = Rig()
    rig.add(list(range(8)), 1)
    rig.run()
    again = rig.add(list(range(8)), 1)
    assert rig.one().prefill_tokens == 4
    assert again.cached_tokens == 4
    assert rig.pool.inactive == 2
    assert rig.events() == []


def test_prompts_alike_in_one_step_are_computed_once() -> None:
    rig = Rig()
    for last in range(5):
        rig.add([*range(40), last], 2)
    assert rig.one().prefill_tokens == 41 + 4
    assert rig.pool.active == 10 + 5


def test_generated_blocks_are_found_too() -> None:
    rig = Rig()
    first = rig.add([1, 2, 3], 6)
    rig.run()
    assert len(first.names) == 2
    assert first.names == Sequence.of_tokens([1, 2, 3, 1, 2, 3, 4, 5], 1, 4).names
    next_turn = rig.add([1, 2, 3, 1, 2, 3, 4, 5, 6, 50], 1)
    rig.run()
    assert next_turn.cached_tokens == 8


def test_blocks_of_unknown_tokens_get_names_that_no_one_else_has() -> None:
    rigs = [Rig(seed=seed) for seed in (1, 2, 1)]
    for rig in rigs:
        for _ in range(2):
            sequence = Sequence(8, 9, [5, 6])
            rig.simulator.add(sequence)
            rig.sequences.append(sequence)
        while rig.simulator.step(0.0):
            pass
    one, two, again = ([sequence.names[2:] for sequence in rig.sequences] for rig in rigs)
    assert one == again
    assert len({name for names in [*one, *two] for name in names}) == 8
    assert rigs[0].sequences[1].cached_tokens == 4


def test_without_the_cache_nothing_is_found_or_told() -> None:
    rig = Rig(enable_prefix_caching=False)
    for _ in range(2):
        rig.add(list(range(10)), 20)
        assert rig.run()[0].prefill_tokens == 10
    assert rig.events() == []
    assert rig.pool.free == rig.pool.total


def test_the_tail_of_what_was_used_longest_ago_is_evicted_first() -> None:
    rig = Rig(blocks=6)
    old, young = rig.add(8, 1), rig.add(8, 1)
    rig.run()
    rig.events()
    rig.add(12, 1)
    rig.one()
    (removed, _) = rig.events()
    assert removed == Removed([old.names[1]])
    rig.add(12, 1)
    rig.one()
    (removed, _) = rig.events()
    assert removed == Removed([old.names[0], young.names[1], young.names[0]])


def test_use_makes_a_block_young() -> None:
    rig = Rig(blocks=4)
    first, _ = rig.add(list(range(8)), 1), rig.add(8, 1)
    rig.run()
    rig.add([*range(8), 9], 1)
    rig.run()
    rig.events()
    rig.add(8, 1)
    rig.one()
    assert set(first.names) <= rig.pool.names


def test_a_refused_prompt_does_not_make_its_prefix_young() -> None:
    rig = Rig(blocks=7)
    old = rig.add(list(range(8)), 1)
    rig.run()
    rig.add(8, 1)
    rig.run()
    rig.add(9, 8)
    rig.one()
    rig.add([*range(8), *range(50, 66)], 1)
    rig.run(0.0)
    assert rig.pool.users(old.names[0]) == 0


def test_clearing_forgets_what_nobody_uses() -> None:
    rig = Rig(blocks=20, host_blocks=4)
    rig.add(8, 1)
    rig.run()
    running = rig.add(9, 9)
    rig.one()
    rig.events()
    rig.simulator.clear()
    assert rig.simulator.drain_events() == [Cleared(), Stored(running.names)]
    rig.told = {"device": set(running.names), "host": set()}
    assert rig.pool.inactive == 0
    rig.run()


# --- running out of blocks


def test_the_one_admitted_last_gives_way_and_starts_over_with_what_is_cached() -> None:
    rig = Rig(blocks=5)
    first, last = rig.add(7, 4), rig.add(8, 3)
    one = rig.one()
    assert one.began == [first, last]
    two = rig.one(one.ends_at)
    assert (two.preempted, first.held, last.held) == ([], 2, 3)
    three = rig.one(two.ends_at)
    assert (three.preempted, three.decoding, first.held) == ([last], 1, 3)
    rig.check()
    assert (last.generated, last.phase, rig.simulator.preemptions) == (2, "waiting", 1)
    four = rig.one(three.ends_at)
    assert (four.prefill_tokens, four.finished) == (0, [first])
    five = rig.one(four.ends_at)
    assert five.prefill_tokens == 2
    assert five.resumed == [(last, five.ends_at - two.ends_at)]
    assert (five.began, five.finished) == ([], [last])
    assert (last.cached_tokens, last.first_token_at) == (0, one.ends_at)
    assert rig.step() is None


def test_it_comes_back_before_those_that_wait_but_not_in_the_same_step() -> None:
    rig = Rig(blocks=5, max_num_batched_tokens=16, max_num_seqs=3, enable_prefix_caching=False)
    _, last, late = rig.add(7, 4), rig.add(8, 9), rig.add(9, 1)
    rig.one()
    rig.one()
    step = rig.one()
    assert (step.preempted, step.prefill_tokens) == ([last], 0)
    assert list(rig.simulator.waiting) == [last, late]
    ended = [sequence for step in rig.run() for sequence in step.finished]
    assert ended.index(last) < ended.index(late)


def test_it_does_not_start_over_in_the_step_in_which_it_gave_way() -> None:
    rig = Rig(blocks=5, max_num_batched_tokens=4, max_num_seqs=2, enable_prefix_caching=False)
    first, last = rig.add(7, 13), rig.add(8, 4)
    preempting = next(step for step in iter(rig.one, None) if step.preempted)
    assert (preempting.preempted, preempting.prefill_tokens) == ([last], 0)
    assert rig.one().prefill_tokens > 0
    rig.run()
    assert first.finished_at is not None


def test_a_prompt_under_way_gives_way_to_those_that_decode() -> None:
    rig = Rig(blocks=6, max_num_batched_tokens=9, max_num_seqs=2)
    rig.add(8, 13)
    rig.one()
    long = rig.add(17, 1)
    rig.one()
    assert (long.phase, long.computed) == ("prefilling", 8)
    steps = rig.run()
    assert rig.simulator.preemptions > 0
    assert long.finished_at is not None
    assert sum(step.prefill_tokens for step in steps) <= 17


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 20), st.booleans()), min_size=1, max_size=30),
    st.integers(15, 40),
    st.integers(1, 6),
    st.integers(6, 30),
    st.integers(0, 20),
    st.booleans(),
)
def test_everything_is_generated_and_blocks_are_conserved(
    requests: list[tuple[int, int, bool]], blocks: int, seqs: int, budget: int, host: int, caching: bool
) -> None:
    rig = Rig(
        blocks=blocks,
        host_blocks=host,
        max_num_seqs=seqs,
        max_num_batched_tokens=budget,
        enable_prefix_caching=caching,
    )
    for prompt, max_tokens, shared in requests:
        rig.add(list(range(prompt)) if shared else prompt, max_tokens)
    steps = rig.run()
    assert [sequence.generated for sequence in rig.sequences] == [max_tokens for _, max_tokens, _ in requests]
    assert all(step.prefill_tokens + step.decoding <= budget for step in steps)
    assert all(len(step.began) + len(step.finished) <= 2 * seqs for step in steps)
    if not rig.simulator.preemptions:
        cached = sum(sequence.cached_tokens for sequence in rig.sequences)
        assert sum(step.prefill_tokens for step in steps) + cached == sum(prompt for prompt, _, _ in requests)
    assert rig.pool.active == 0


ACTIONS = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 30), st.integers(1, 25)),
    st.tuples(st.just("share"), st.integers(1, 30), st.integers(1, 25)),
    st.tuples(st.just("end"), st.integers(0, 100), st.just(0)),
    st.tuples(st.just("clear"), st.just(0), st.just(0)),
    st.tuples(st.just("step"), st.integers(1, 4), st.just(0)),
)


@settings(max_examples=150)
@given(st.lists(ACTIONS, max_size=60), st.integers(14, 30), st.integers(0, 10), st.booleans())
def test_blocks_add_up_whatever_happens(
    actions: list[tuple[str, int, int]], blocks: int, host: int, caching: bool
) -> None:
    rig = Rig(blocks=blocks, host_blocks=host, max_num_seqs=5, max_num_batched_tokens=16, enable_prefix_caching=caching)
    for action, number, max_tokens in actions:
        if action == "add":
            rig.add(number, max_tokens)
        elif action == "share":
            rig.add(list(range(number)), max_tokens)
        elif action == "end" and rig.sequences:
            rig.simulator.end(rig.sequences[number % len(rig.sequences)])
        elif action == "clear":
            rig.simulator.clear()
        else:
            for _ in range(number):
                rig.step()
        rig.check()
    rig.run()
    assert rig.pool.active == 0
    assert all(sequence.phase == "done" for sequence in rig.sequences)


# --- the host tier


def test_what_the_device_evicts_comes_back_from_the_host_at_a_cost() -> None:
    link = Link(bandwidth=1.0, bytes_per_token=1_000_000)
    rig = Rig(blocks=4, host_blocks=8, host_link=link, speedup=2.0)
    first = rig.add(list(range(8)), 1)
    rig.run()
    rig.events()
    rig.add(16, 1)
    rig.run()
    assert rig.told == {"device": set(rig.sequences[1].names), "host": set(first.names)}
    again = rig.add([*range(8), 9], 1)
    step = rig.one()
    assert (again.cached_tokens, step.prefill_tokens) == (8, 1)
    assert step.seconds == pytest.approx((prefill_ms(1) / 1000 + 8 * 1e6 / 1e9) / 2, abs=1e-9)
    rig.check()
    assert set(first.names) <= rig.told["device"] & rig.told["host"]


def test_a_full_host_forgets_what_it_got_first() -> None:
    rig = Rig(blocks=2, host_blocks=3)
    first, second = rig.add(8, 1), rig.add(8, 1)
    rig.run()
    rig.add(8, 1)
    rig.run()
    rig.check()
    assert rig.told["host"] == {first.names[0], *second.names}


# --- the rest


def test_the_same_is_done_again() -> None:
    def once() -> list[tuple[float, int, int, int]]:
        rig = Rig(blocks=20, max_num_seqs=4)
        for number in range(30):
            rig.add(list(range(number % 7, 20)), 5 + number)
        return [(step.ends_at, step.prefill_tokens, step.decoding, len(step.preempted)) for step in rig.run()]

    assert once() == once()


def test_kv_takes_its_time_over_a_link() -> None:
    assert Link(64.0, 131072).seconds(1000) == pytest.approx(1000 * 131072 / 64e9)
    assert Link(2.0, 500_000).seconds(0) == 0.0


def test_a_long_queue_can_be_ended_from_its_front_at_once() -> None:
    simulator = Simulator(clock=StepClock(), pool=BlockPool(1000, 4))
    sequences = [Sequence(4, 1) for _ in range(50_000)]
    for sequence in sequences:
        simulator.add(sequence)
    for sequence in reversed(sequences):
        simulator.end(sequence)
    assert simulator.load() == (0, 1000, 0, 0, 0)
