"""The simulator with a clock of its own: nothing waits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo_cli.workers.engines.mock.blocks import BlockPool
from dynamo_cli.workers.engines.mock.simulator import Generation, Simulator, Step
from dynamo_cli.workers.engines.mock.timing import StepClock, decode_ms, prefill_ms

WORDS = range(100, 200)


def simulator(*, blocks: int = 100, block_size: int = 4, speedup: float = 1.0, **limits: int) -> Simulator:
    return Simulator(vocabulary=WORDS, clock=StepClock(speedup), pool=BlockPool(blocks, block_size), **limits)


def add(sim: Simulator, prompt: list[int] | int, max_tokens: int, **stop: Any) -> Generation:
    tokens = list(range(prompt)) if isinstance(prompt, int) else prompt
    generation = Generation(sim.state_of(tokens), len(tokens), max_tokens, **stop)
    sim.add(generation)
    return generation


def run(sim: Simulator, now: float = 0.0) -> tuple[dict[Generation, list[int]], list[Step]]:
    said: dict[Generation, list[int]] = {}
    steps: list[Step] = []
    while (step := sim.step(now)) is not None:
        steps.append(step)
        now = step.ends_at
        for generation, token, _ in step.outputs:
            said.setdefault(generation, []).extend([] if token is None else [token])
        check_blocks(sim)
    return said, steps


def check_blocks(sim: Simulator) -> None:
    held = [*sim.prefilling, *sim.decoding]
    assert sim.pool.free + sum(generation.reserved for generation in held) == sim.pool.total
    assert sim.pool.active == sum(generation.active for generation in held)
    assert all(generation.active <= generation.reserved for generation in held)
    assert 0 <= sim.pool.free <= sim.pool.total


def test_an_idle_engine_has_no_step() -> None:
    assert simulator().step(0.0) is None


def test_the_first_token_comes_with_the_prefill_and_the_others_one_step_each() -> None:
    sim = simulator(blocks=100, block_size=4)
    add(sim, 10, 3)
    _, steps = run(sim, now=5.0)
    assert [(step.prefill_tokens, step.decoding) for step in steps] == [(10, 0), (0, 1), (0, 1)]
    first, second, third = (step.ends_at for step in steps)
    assert first == pytest.approx(5.0 + prefill_ms(10) / 1000)
    assert second - first == pytest.approx(decode_ms(3 / 100) / 1000)
    assert third - second == pytest.approx(decode_ms(3 / 100) / 1000)


def test_a_mixed_step_takes_both_times() -> None:
    sim = simulator(speedup=2.0)
    add(sim, 4, 5)
    step = sim.step(0.0)
    assert step is not None
    add(sim, 7, 5)
    mixed = sim.step(0.0)
    assert mixed is not None
    assert (mixed.prefill_tokens, mixed.decoding) == (7, 1)
    assert mixed.ends_at == pytest.approx((prefill_ms(7) + decode_ms((2 + 2) / 100)) / 2 / 1000)


def test_long_prompts_are_prefilled_in_chunks_within_the_budget() -> None:
    sim = simulator(max_num_batched_tokens=8)
    long, short = add(sim, 20, 2), add(sim, 3, 2)
    said, steps = run(sim)
    assert [step.prefill_tokens for step in steps] == [8, 8, 7, 0]
    assert all(step.prefill_tokens + step.decoding <= 8 for step in steps)
    assert len(said[long]) == len(said[short]) == 2


def test_decoding_sequences_take_their_share_of_the_budget_first() -> None:
    sim = simulator(max_num_batched_tokens=4)
    add(sim, 2, 9)
    add(sim, 2, 9)
    sim.step(0.0)
    add(sim, 6, 1)
    step = sim.step(0.0)
    assert step is not None
    assert (step.decoding, step.prefill_tokens) == (2, 2)


def test_no_more_sequences_than_allowed() -> None:
    sim = simulator(max_num_seqs=2)
    for _ in range(5):
        add(sim, 3, 4)
    most = 0
    while (step := sim.step(0.0)) is not None:
        most = max(most, len(step.outputs))
    assert most == 2


def test_requests_wait_for_blocks_in_order() -> None:
    sim = simulator(blocks=4, block_size=4)
    first, big, small = add(sim, 7, 1), add(sim, 9, 7), add(sim, 1, 1)
    step = sim.step(0.0)
    assert step is not None and [generation for generation, _, _ in step.outputs] == [first]
    assert list(sim.waiting) == [big, small]
    said, _ = run(sim)
    assert list(said) == [big, small]


def test_an_abort_frees_blocks_wherever_it_strikes() -> None:
    sim = simulator(blocks=6, block_size=4, max_num_batched_tokens=8, max_num_seqs=8)
    decoding, prefilling, waiting = add(sim, 4, 4), add(sim, 10, 2), add(sim, 4, 4)
    sim.step(0.0)
    assert decoding in sim.decoding and prefilling in sim.prefilling and waiting in sim.waiting
    for generation in (prefilling, waiting, decoding, decoding):
        sim.abort(generation)
        check_blocks(sim)
    assert sim.pool.free == sim.pool.total
    assert sim.step(0.0) is None


def test_a_stop_token_ends_it_unless_it_comes_too_early() -> None:
    sim = simulator()
    whole = add(sim, 5, 6)
    tokens = run(sim)[0][whole]
    stopped = add(sim, 5, 6, stop_token_ids=frozenset(tokens[2:3]))
    assert run(sim)[0][stopped] == tokens[: tokens.index(tokens[2])]
    late = add(sim, 5, 6, stop_token_ids=frozenset(tokens[2:3]), min_tokens=6)
    assert run(sim)[0][late] == tokens


@given(st.lists(st.integers(0, 50_000), min_size=1, max_size=30), st.integers(0, 8))
def test_a_generation_continues_the_same_wherever_it_was_cut(prompt: list[int], cut: int) -> None:
    sim = simulator()
    whole = add(sim, prompt, 9)
    tokens = run(sim)[0][whole]
    resumed = add(sim, prompt + tokens[:cut], 9 - cut)
    assert run(sim)[0][resumed] == tokens[cut:]


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 20)), min_size=1, max_size=30),
    st.integers(15, 40),
    st.integers(1, 6),
    st.integers(6, 30),
)
def test_everything_is_generated_and_blocks_are_conserved(
    requests: list[tuple[int, int]], blocks: int, seqs: int, budget: int
) -> None:
    sim = simulator(blocks=blocks, block_size=4, max_num_seqs=seqs, max_num_batched_tokens=budget)
    generations = [add(sim, prompt, max_tokens) for prompt, max_tokens in requests]
    said, steps = run(sim)
    assert [len(said[generation]) for generation in generations] == [max_tokens for _, max_tokens in requests]
    assert sum(step.prefill_tokens for step in steps) == sum(prompt for prompt, _ in requests)
    assert sim.pool.free == blocks and sim.pool.active == 0


def test_the_same_seed_says_the_same_and_another_does_not() -> None:
    def once(seed: int) -> list[int]:
        sim = simulator(seed=seed)
        generation = add(sim, 5, 10)
        return run(sim)[0][generation]

    assert once(3) == once(3) != once(4)
