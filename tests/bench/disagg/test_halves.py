"""Prefill and decode workers in virtual time: everything ends, nothing is computed twice, no block is left in use."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.bench.disagg.compare import Load, compare, main, measure
from dynamo_cli.bench.disagg.halves import Arrival, Halves, Shape
from dynamo_cli.bench.disagg.plot import plot
from dynamo_cli.disagg.conditional import ConditionalDisagg
from dynamo_cli.workers.engines.mock.simulation.timing import Link

SHORT = ConditionalDisagg(eff_isl_threshold=300, eff_isl_ratio_threshold=2.0)
ARRIVALS = st.lists(st.tuples(st.floats(0, 1), st.integers(1, 900), st.integers(1, 40)), min_size=1, max_size=25)


@given(ARRIVALS, st.integers(1, 2), st.integers(0, 2), st.sampled_from([None, SHORT]), st.integers(16, 40))
def test_everything_ends_and_nothing_is_left(
    given_arrivals: list[tuple[float, int, int]],
    decode: int,
    prefill: int,
    conditional: ConditionalDisagg | None,
    blocks: int,
) -> None:
    arrivals = [Arrival(at, prompt, output) for at, prompt, output in given_arrivals]
    shape = Shape(decode, prefill, conditional, blocks, 64, 512, Link(1.0, 1000))
    cluster = Halves(shape)
    outcome = cluster.run(arrivals)
    assert outcome.finished == len(outcome.ttft_s) == len(arrivals)
    assert all(ttft > 0 for ttft in outcome.ttft_s)
    for simulator in cluster.simulators:
        assert simulator.pool.free == simulator.pool.total
        assert not simulator.load()[2] and not simulator.receiving
    remote = [
        arrival.prompt_tokens for arrival in arrivals if prefill and (not conditional or arrival.prompt_tokens >= 300)
    ]
    assert outcome.remote == len(remote)
    preempted = any(simulator.preemptions for simulator in cluster.simulators)
    if not preempted:
        assert sum(outcome.computed[:prefill]) == sum(remote)
        assert sum(outcome.computed) == sum(arrival.prompt_tokens for arrival in arrivals)


@given(ARRIVALS, st.integers(1, 2), st.integers(1, 2), st.floats(0, 0.3), st.integers(16, 40))
def test_whoever_answers_and_moves_everything_ends_and_nothing_is_left(
    given_arrivals: list[tuple[float, int, int]], decode: int, prefill: int, after_s: float, blocks: int
) -> None:
    arrivals = [Arrival(at, prompt, output) for at, prompt, output in given_arrivals]
    lent = msgspec.structs.replace(SHORT, prefill_answers_after_s=after_s)
    cluster = Halves(Shape(decode, prefill, lent, blocks, 64, 512, Link(1.0, 1000)))
    outcome = cluster.run(arrivals)
    assert outcome.finished == len(outcome.ttft_s) == len(arrivals)
    assert all(ttft > 0 for ttft in outcome.ttft_s)
    assert all(simulator.pool.free == simulator.pool.total for simulator in cluster.simulators)
    assert outcome.remote == sum(arrival.prompt_tokens >= 300 for arrival in arrivals)


def test_a_prefill_worker_that_nobody_needs_answers_until_somebody_does() -> None:
    streams = [Arrival(0.0, 256, 400) for _ in range(8)]
    lent = msgspec.structs.replace(SHORT, prefill_answers_after_s=10.0)
    alone = Halves(Shape(1, 1, lent)).run(streams)
    assert min(alone.computed) == max(alone.computed) == 1024
    disturbed = Halves(Shape(1, 1, lent)).run([*streams, Arrival(0.2, 8192, 1)])
    assert disturbed.computed[0] == 1024 + 8192
    assert 1024 + 4 * 256 < disturbed.computed[1] < 1024 + 4 * (256 + 100)
    assert disturbed.finished == 9


def test_a_transfer_takes_the_time_of_its_bytes() -> None:
    arrival = [Arrival(0.0, 1000, 1)]
    fast = Halves(Shape(1, 1, link=Link(64.0))).run(arrival).ttft_s[0]
    slow = Halves(Shape(1, 1, link=Link(1.0))).run(arrival).ttft_s[0]
    assert slow - fast == pytest.approx(1000 * 131072 / 1e9 - 1000 * 131072 / 64e9, abs=1e-6)


def test_streams_are_not_stalled_by_prompts_that_others_compute() -> None:
    load = Load(seconds=20.0)
    together, apart = measure(Shape(2), load, 8192), measure(Shape(1, 1), load, 8192)
    assert apart.itl_p99_ms < together.itl_p99_ms / 3


def test_conditional_is_as_good_as_the_better_of_aggregated_and_disaggregated_workers() -> None:
    comparison = compare((256, 1024, 4096), 2, Load(seconds=20.0))
    assert all(row.behind <= 0.03 for row in comparison.rows)
    assert comparison.crossover is not None
    remote = [row.figures["conditional"].remote for row in comparison.rows]
    assert remote[0] == 0 < remote[-1]
    table = comparison.as_table().splitlines()
    assert table[0].count("|") == table[1].count("|") == table[2].count("|")
    assert plot(comparison.rows).count("<svg") == 3


def test_the_same_seed_gives_the_same_figures() -> None:
    load = Load(seconds=5.0)
    assert measure(Shape(1, 1), load, 512) == measure(Shape(1, 1), load, 512)


def test_counts_that_make_no_sense_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--workers", "1"], ["0"], ["--rate", "0"]):
        with pytest.raises(SystemExit) as exit_:
            main(words)
        assert exit_.value.code == 2
    assert "at least two workers" in capsys.readouterr().err
