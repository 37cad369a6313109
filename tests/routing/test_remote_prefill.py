"""A prompt is prefilled by one worker and answered by another; whatever fails, there is one answer or one error."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.disagg.conditional import ConditionalDisagg
from dynamo_cli.disagg.options import DisaggOptions
from dynamo_cli.errors import (
    CannotConnect,
    Disconnected,
    Draining,
    DynamoError,
    EngineFailed,
    InvalidRequest,
    NoInstances,
    NotReady,
    Overloaded,
    TransferFailed,
)
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage, StopConditions
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.protocol.load import BusyThresholds, WorkerLoad
from tests.routing.halves import ANSWER, DECODE, PREFILL, PROMPT, Leg, World


@pytest.mark.parametrize("mode", ["round-robin", "least-loaded", "power-of-two", "random", "kv", "direct"])
def test_a_prompt_goes_to_a_prefill_worker_and_its_answer_comes_from_a_decode_worker(mode: str) -> None:
    world = World(mode)
    if mode == "direct":
        request = EngineRequest("m", PROMPT, stop=StopConditions(max_tokens=ANSWER))
        world.dispatcher.send(request, world.heard, request_id="r", instance_id=12)
    else:
        world.send()
    (prefill,) = world.legs
    assert prefill.worker in PREFILL
    assert prefill.request.prefill_only
    assert prefill.request.stop.max_tokens == 1
    prefill.hand_over()
    decode = world.last
    assert decode.worker in DECODE
    assert not decode.request.prefill_only
    assert decode.request.handover == Handover("mock", {"id": f"{prefill.worker}"})
    assert decode.request.stop.max_tokens == ANSWER
    decode.say(2)
    decode.say(4)
    assert (world.heard.tokens, world.heard.ended, world.heard.errors) == (list(range(6)), 1, [])
    counts = world.remote.counts
    assert (counts.prefills, counts.transfers, counts.tokens, counts.bytes, counts.seconds) == (1, 1, 64, 640, 0.5)
    assert not counts.fallbacks
    assert world.is_free()


@pytest.mark.parametrize("early", [True, False])
def test_a_transfer_counts_once_and_also_when_the_answer_is_cut_off(
    early: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Leg, "tells_early", early)
    world = World()
    counts = world.remote.counts
    flight = world.send()
    world.last.hand_over()
    world.last.say(1)
    flight.cancel()
    assert (counts.transfers, counts.tokens, counts.bytes) == ((1, 64, 640) if early else (0, 0, 0))
    world.send()
    world.last.hand_over()
    world.last.say(1)
    world.last.say(ANSWER)
    assert counts.transfers == (2 if early else 1)


def test_the_prompt_counts_where_it_is_computed_and_nowhere_else() -> None:
    for mode in ("round-robin", "kv"):
        world = World(mode)
        world.send()
        prefill = world.last
        assert world.pool.loads.of(prefill.worker).active_prefill_tokens == 64
        prefill.hand_over()
        decode = world.last
        assert world.model.loads.of(decode.worker) == (4, 0)
        assert world.pool.loads.of(prefill.worker) == (0, 0)


def test_what_the_prefill_worker_had_in_its_cache_is_told() -> None:
    world = World()
    flight = world.send()
    world.last.hand_over(EngineUsage(64, 1, 48))
    world.last.say(ANSWER)
    assert world.heard.usage is not None
    assert world.heard.usage.cached_tokens == 48
    assert flight.prefilled is not None
    assert flight.prefilled.service in ("prefill-1", "prefill-2")
    assert [leg.prefills for leg in flight.legs] == [True, False]


def test_without_prefill_workers_a_decode_worker_does_it_all() -> None:
    world = World()
    world.pool.candidates, world.pool.cards = [], {}
    world.send()
    assert world.last.worker in DECODE
    assert world.last.request.handover is None
    assert not world.remote.counts.fallbacks


def test_a_prefill_worker_that_was_there_is_missed() -> None:
    world = World()
    world.send()
    world.last.hand_over()
    world.last.say(ANSWER)
    world.pool.candidates, world.pool.cards = [], {}
    world.send()
    assert world.last.worker in DECODE
    assert world.remote.counts.fallbacks == {"no_prefill_worker": 1}


def test_when_it_is_enforced_nothing_is_computed_by_decode_workers() -> None:
    world = World(options=DisaggOptions(enforce=True))
    world.pool.candidates = []
    with pytest.raises(NotReady, match="no prefill worker of it is there"):
        world.send()
    assert world.legs == []
    world = World(options=DisaggOptions(enforce=True))
    world.send()
    for _ in range(2):
        world.last.fail(Disconnected("lost"))
    assert [type(error) for error in world.heard.errors] == [NotReady]
    assert all(leg.worker in PREFILL for leg in world.legs)
    assert world.is_free()


def test_aggregated_workers_are_not_given_what_they_cannot_fetch() -> None:
    world = World(decode_role="aggregated")
    world.send()
    assert world.last.worker in DECODE
    assert world.last.request.handover is None
    assert world.remote.counts.fallbacks == {"no_decode_worker": 1}


def test_a_lost_prefill_begins_anew_with_another_worker_then_the_decode_worker_computes() -> None:
    world = World()
    world.send()
    world.last.fail(Disconnected("lost"))
    assert {leg.worker for leg in world.legs} == set(PREFILL)
    world.last.fail(Disconnected("lost"))
    assert world.last.worker in DECODE
    assert world.last.request.handover is None
    world.last.say(ANSWER)
    assert (world.heard.tokens, world.heard.errors) == (list(range(6)), [])
    assert world.remote.counts.fallbacks == {"prefill_failed": 1}
    assert world.is_free()


def test_a_failed_transfer_is_prefilled_elsewhere_then_computed_where_it_is_decoded() -> None:
    world = World()
    world.send()
    first = world.last
    first.hand_over()
    decoder = world.last
    decoder.fail(TransferFailed("gone"))
    second = world.last
    assert second.worker in set(PREFILL) - {first.worker}
    second.hand_over()
    world.last.fail(TransferFailed("gone again"))
    assert world.last.worker in DECODE
    assert world.last.request.handover is None
    world.last.say(ANSWER)
    assert (world.heard.tokens, world.heard.errors) == (list(range(6)), [])
    assert world.remote.counts.fallbacks == {"transfer_failed": 1}
    assert world.model.candidates == list(DECODE)
    assert world.is_free()


def kept_by(leg: Leg) -> tuple[int, Handover]:
    return leg.worker, Handover("mock", {"id": f"{leg.worker}"})


def test_what_has_been_fetched_is_nobodys_any_more() -> None:
    world = World()
    world.send()
    world.last.hand_over()
    world.last.say(1)
    world.last.say(ANSWER)
    assert world.wait() == []


def test_what_nobody_fetches_need_not_be_kept() -> None:
    world = World()
    flight = world.send()
    prefill = world.last
    prefill.hand_over()
    flight.cancel()
    assert world.wait() == [kept_by(prefill)]


def test_what_a_lost_decode_worker_was_to_fetch_need_not_be_kept() -> None:
    world = World()
    world.send()
    first = world.last
    first.hand_over()
    world.last.fail(Disconnected("lost"))
    world.last.hand_over()
    assert world.wait() == [kept_by(first)]
    world.last.say(ANSWER)
    assert (world.wait(), world.heard.errors) == ([kept_by(first)], [])


def test_what_another_decode_worker_fetches_is_kept() -> None:
    world = World()
    world.send()
    world.last.hand_over()
    world.last.fail(Draining("bye"))
    assert world.last.worker in DECODE
    assert world.wait() == []
    world.last.say(ANSWER)
    assert world.wait() == []


def test_when_nobody_can_fetch_it_it_need_not_be_kept() -> None:
    world = World()
    world.send()
    prefill = world.last
    world.refusing = set(DECODE)
    prefill.hand_over()
    assert len(world.heard.errors) == 1
    assert kept_by(prefill) in world.wait()


def test_a_decode_worker_lost_in_the_middle_is_replaced_after_another_prefill() -> None:
    world = World()
    world.send()
    world.last.hand_over()
    world.last.say(2)
    lost = world.last.worker
    world.last.fail(Disconnected("lost"))
    again = world.last
    assert again.worker in PREFILL
    assert again.request.token_ids == [*PROMPT, 0, 1]
    again.hand_over()
    assert world.last.worker in set(DECODE) - {lost}
    assert world.last.request.stop.max_tokens == ANSWER - 2
    world.last.say(ANSWER)
    assert (world.heard.tokens, world.heard.ended, world.heard.errors) == (list(range(6)), 1, [])
    assert (world.dispatcher.migrations.ongoing, world.dispatcher.migrations.new) == (1, 0)
    assert world.is_free()


@pytest.mark.parametrize("refusal", [Draining("bye"), CannotConnect("no"), Overloaded("full")])
def test_a_decode_worker_that_refuses_has_fetched_nothing(refusal: DynamoError) -> None:
    world = World()
    world.send()
    world.last.hand_over()
    handover = world.last.request.handover
    world.last.fail(refusal)
    assert world.last.worker in DECODE
    assert world.last.request.handover == handover
    assert len(world.legs) == 3


@pytest.mark.parametrize("error", [InvalidRequest("bad"), Overloaded("full")])
def test_the_requests_own_errors_are_told(error: DynamoError) -> None:
    world = World()
    world.send()
    world.last.fail(error)
    while world.last.live and world.last.worker in PREFILL:
        world.last.fail(error)
    assert [type(heard) for heard in world.heard.errors] == [type(error)]
    assert world.is_free()


def test_a_prefill_that_breaks_is_computed_where_it_is_decoded() -> None:
    world = World()
    world.send()
    world.last.fail(EngineFailed("broken"))
    assert world.last.worker in DECODE
    assert world.remote.counts.fallbacks == {"prefill_failed": 1}


def test_a_worker_that_says_nothing_of_where_it_keeps_it_is_no_prefill_worker() -> None:
    world = World()
    world.send()
    world.last.sink.on_frame([Delta([5], "length")])
    world.last.sink.on_end()
    assert world.last.worker in DECODE
    assert world.heard.tokens == []
    assert world.remote.counts.fallbacks == {"prefill_failed": 1}


@pytest.mark.parametrize("after", ["sent", "handed over", "begun"])
def test_cancelling_reaches_whoever_has_it(after: str) -> None:
    world = World()
    flight = world.send()
    if after != "sent":
        world.last.hand_over()
    if after == "begun":
        world.last.say(1)
    flight.cancel()
    flight.cancel()
    assert world.last.cancelled
    assert all(not leg.live for leg in world.legs)
    assert world.is_free()
    assert (world.heard.ended, world.heard.errors) == (0, [])


def test_busy_prefill_workers_refuse_what_has_not_begun() -> None:
    world = World(thresholds=BusyThresholds(active_prefill_tokens_threshold=10))
    for worker in PREFILL:
        world.pool.loads.report(worker, WorkerLoad(active_prefill_tokens=11))
    with pytest.raises(Overloaded):
        world.send()
    assert world.is_free() or world.legs == []


def test_nobody_prefills_for_a_request_that_nobody_can_answer() -> None:
    world = World()
    world.model.candidates = []
    with pytest.raises(NoInstances):
        world.send()
    assert world.legs == []


async def test_a_prefill_worker_that_says_nothing_is_given_up() -> None:
    world = World(options=DisaggOptions(prefill_timeout_s=0.02), timeout=True)
    world.send()
    for _ in range(400):
        if world.last.worker in DECODE:
            break
        await asyncio.sleep(0.005)
    assert [leg.worker in PREFILL for leg in world.legs] == [True, True, False]
    assert all(leg.cancelled for leg in world.legs[:2])
    world.last.say(ANSWER)
    assert (world.heard.tokens, world.heard.errors) == (list(range(6)), [])
    assert world.remote.counts.fallbacks == {"prefill_failed": 1}


# Workers that meet by themselves


def test_both_are_told_at_once_where_they_meet() -> None:
    world = World(bootstrap=8998)
    flight = world.send()
    prefill, decode = world.legs
    assert prefill.worker in PREFILL
    assert decode.worker in DECODE
    assert prefill.request.handover == decode.request.handover
    handover = decode.request.handover
    assert handover is not None
    assert handover.family == "sglang"
    assert (handover.params["bootstrap_host"], handover.params["bootstrap_port"]) == ("h", 8998)
    assert 0 <= handover.params["bootstrap_room"] < 1 << 63
    prefill.hand_over()
    decode.say(ANSWER)
    assert (world.heard.tokens, world.heard.errors) == (list(range(6)), [])
    assert flight.prefilled is not None
    assert world.is_free()


def test_a_prefill_that_fails_meanwhile_is_noticed_before_the_decode_worker_does() -> None:
    world = World(bootstrap=8998)
    world.send()
    prefill, decode = world.legs
    prefill.fail(EngineFailed("broken"))
    assert decode.cancelled
    again, decode = world.legs[2:]
    assert again.worker in set(PREFILL) - {prefill.worker}
    assert decode.request.handover == again.request.handover
    assert decode.request.handover != prefill.request.handover
    again.fail(Disconnected("lost"))
    assert world.last.request.handover is None
    world.last.say(ANSWER)
    assert (world.heard.tokens, world.heard.errors) == (list(range(6)), [])
    assert world.is_free()


def test_a_prefill_that_fails_after_the_answer_has_begun_changes_nothing() -> None:
    world = World(bootstrap=8998)
    world.send()
    prefill, decode = world.legs
    decode.say(1)
    prefill.fail(EngineFailed("broken"))
    decode.say(ANSWER)
    assert (world.heard.tokens, world.heard.errors, len(world.legs)) == (list(range(6)), [], 2)
    assert world.is_free()


def test_cancelling_reaches_both() -> None:
    world = World(bootstrap=8998)
    flight = world.send()
    flight.cancel()
    assert all(leg.cancelled for leg in world.legs)
    assert world.is_free()


# Conditional


def test_short_prompts_stay_with_the_decode_worker() -> None:
    world = World(options=DisaggOptions(conditional=ConditionalDisagg(eff_isl_threshold=65, eff_isl_ratio_threshold=2)))
    world.send()
    assert world.last.worker in DECODE
    assert world.last.request.handover is None
    world.send([*PROMPT, 1])
    assert world.last.worker in PREFILL
    assert world.remote.counts.kept_local == 1
    assert not world.remote.counts.fallbacks


def test_what_the_decode_worker_has_in_its_cache_counts() -> None:
    world = World("kv", DisaggOptions(conditional=ConditionalDisagg()))
    world.send()
    world.last.hand_over()
    world.last.say(ANSWER)
    world.send()
    assert world.last.worker in DECODE
    assert world.remote.counts.kept_local == 1


# Whatever happens

ERRORS = [Disconnected, EngineFailed, TransferFailed, Draining, CannotConnect]
EVENTS = st.lists(
    st.tuples(st.sampled_from(["say", "hand_over", "fail", "cancel"]), st.integers(0, 4), st.integers(0, 9)),
    max_size=40,
)


@given(EVENTS, st.sampled_from(["round-robin", "kv"]), st.sampled_from([0, 8998]), st.booleans(), st.integers(0, 3))
def test_there_is_one_answer_or_one_error_and_nothing_is_left(
    events: list[tuple[str, int, int]], mode: str, bootstrap: int, enforce: bool, migrations: int
) -> None:
    random.seed(0)
    world = World(mode, DisaggOptions(enforce=enforce), bootstrap=bootstrap, migrations=migrations)
    flight = world.send()
    cancelled = False
    for kind, what, where in itertools.chain(events, itertools.repeat(("finish", 0, 0), 60)):
        live = [leg for leg in world.legs if leg.live]
        if not live:
            break
        leg = live[where % len(live)]
        if kind == "cancel":
            cancelled = True
            flight.cancel()
        elif kind == "fail":
            leg.fail(ERRORS[what]("broken"))
        elif leg.request.prefill_only:
            leg.hand_over()
        else:
            leg.say(1 + what)
    assert not any(leg.live for leg in world.legs)
    assert world.is_free()
    assert cancelled or world.heard.ended + len(world.heard.errors) == 1
    assert world.heard.tokens == list(range(len(world.heard.tokens)))
    assert not world.heard.ended or len(world.heard.tokens) == ANSWER
