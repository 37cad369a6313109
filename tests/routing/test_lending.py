"""Prefill workers that nobody needs answer whole requests, and give them back when somebody does."""

from __future__ import annotations

import pytest

from dynamo_cli.disagg.conditional import ConditionalDisagg
from dynamo_cli.disagg.options import DisaggOptions
from dynamo_cli.errors import Disconnected, NoInstances
from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.routing.lending import Lending
from tests.routing.halves import ANSWER, DECODE, PREFILL, PROMPT, World

LENT = ConditionalDisagg(eff_isl_threshold=100, eff_isl_ratio_threshold=2.0, prefill_answers_after_s=10.0)
LONG = [*PROMPT, *range(1000, 1100)]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Lent(World):
    """Decode workers that are busy, so that prefill workers have less to do."""

    def __init__(self, mode: str = "round-robin", options: ConditionalDisagg = LENT, migrations: int = 3) -> None:
        super().__init__(mode, DisaggOptions(conditional=options), migrations=migrations)
        self.clock = Clock()
        self.remote.lending = Lending(self.remote.dispatcher.placer, self.clock)
        for worker in DECODE:
            self.model.loads.report(worker, WorkerLoad(active_decode_blocks=50, total_blocks=100))

    def is_idle(self) -> bool:
        for worker in DECODE:
            self.model.loads.report(worker, WorkerLoad(total_blocks=100))
        return self.is_free()


@pytest.mark.parametrize("mode", ["round-robin", "least-loaded", "kv"])
def test_who_has_least_to_do_answers(mode: str) -> None:
    world = Lent(mode)
    world.send()
    (leg,) = world.legs
    assert leg.worker in PREFILL
    assert not leg.request.prefill_only
    leg.say(ANSWER)
    assert (world.heard.tokens, world.heard.ended, world.heard.errors) == (list(range(6)), 1, [])
    assert (world.remote.counts.answered, world.remote.counts.kept_local, world.remote.counts.prefills) == (1, 1, 0)
    assert world.is_idle()


def test_decode_workers_answer_what_they_can_answer_as_well() -> None:
    world = Lent()
    for worker in DECODE:
        world.model.loads.report(worker, WorkerLoad(total_blocks=100))
    world.send()
    assert world.last.worker in DECODE


def test_without_the_setting_nobody_is_lent() -> None:
    world = Lent(options=replace_setting(None))
    world.send()
    assert world.last.worker in DECODE


def replace_setting(after_s: float | None) -> ConditionalDisagg:
    return ConditionalDisagg(eff_isl_threshold=100, eff_isl_ratio_threshold=2.0, prefill_answers_after_s=after_s)


def test_a_worker_that_is_named_is_asked() -> None:
    world = Lent()
    world.send(instance_id=11)
    assert world.last.worker == 11


def test_when_a_prompt_is_to_be_computed_its_guests_go_home_in_the_middle() -> None:
    world = Lent()
    world.send()
    guest = world.last
    guest.say(2)
    world.send(LONG)
    assert guest.cancelled
    home, prefill = world.legs[1:]
    assert home.worker in DECODE
    assert home.request.token_ids == [*PROMPT, 0, 1]
    assert prefill.worker in PREFILL
    assert prefill.request.prefill_only
    home.say(ANSWER)
    assert (world.heard.tokens, world.heard.ended, world.heard.errors) == (list(range(6)), 1, [])
    prefill.hand_over()
    world.last.say(ANSWER)
    assert world.model.candidates == list(DECODE)
    assert world.pool.candidates == list(PREFILL)
    assert world.is_idle()


def test_they_are_lent_again_when_nobody_has_needed_them_for_a_while() -> None:
    world = Lent()
    world.send(LONG)
    world.last.hand_over()
    world.send()
    assert world.last.worker in DECODE
    world.clock.now += 10.0
    world.send()
    assert world.last.worker in PREFILL


def test_a_guest_whose_worker_is_lost_goes_on_at_home() -> None:
    world = Lent()
    world.send()
    guest = world.last
    guest.say(3)
    guest.fail(Disconnected("lost"))
    assert world.last.worker in DECODE
    assert guest.worker not in world.pool.candidates
    assert world.model.candidates == list(DECODE)
    world.last.say(ANSWER)
    assert (world.heard.tokens, world.heard.errors) == (list(range(6)), [])
    assert world.is_idle()


def test_who_is_not_taken_in_is_answered_at_home() -> None:
    world = Lent()
    world.refusing = set(PREFILL)
    world.send()
    assert world.last.worker in DECODE
    world.last.say(ANSWER)
    assert world.is_idle()


def test_what_could_not_go_on_elsewhere_stays() -> None:
    world = Lent(migrations=0)
    world.send()
    guest = world.last
    guest.say(2)
    world.send(LONG)
    assert not guest.cancelled
    guest.say(ANSWER)
    assert world.heard.tokens == list(range(6))


def test_when_there_is_no_home_left_the_guest_hears_why() -> None:
    world = Lent()
    world.send()
    guest = world.last
    guest.say(2)
    world.refusing = set(DECODE)
    guest.fail(Disconnected("lost"))
    assert [type(error) for error in world.heard.errors] == [Disconnected]
    with pytest.raises(NoInstances):
        world.dispatcher.send(guest.request, world.heard, request_id="s", avoid={*DECODE})


def test_cancelling_a_guest_reaches_the_prefill_worker() -> None:
    world = Lent()
    flight = world.send()
    flight.cancel()
    assert world.last.cancelled
    assert world.is_idle()


def test_guests_with_prompts_of_their_own_to_be_computed_go_home_however_many_they_are() -> None:
    """With its answer so far a guest's prompt is longer than what stays local."""
    short = ConditionalDisagg(eff_isl_threshold=len(PROMPT) + 1, eff_isl_ratio_threshold=2.0, prefill_answers_after_s=1)
    world, many = Lent(options=short), 200
    for worker in DECODE:
        world.model.loads.report(worker, WorkerLoad(active_decode_blocks=1 << 20, total_blocks=1 << 20))
    for _ in range(many):
        world.send()
    guests = list(world.legs)
    for guest in guests:
        guest.say(2)
    world.send(LONG)
    assert all(guest.worker in PREFILL and guest.cancelled for guest in guests)
    prefills = [leg for leg in world.legs if leg.live]
    assert len(prefills) == many + 1 and all(leg.request.prefill_only for leg in prefills)
    for leg in prefills:
        leg.hand_over()
    for leg in [leg for leg in world.legs if leg.live]:
        leg.say(len(LONG) + ANSWER)
    assert (world.heard.ended, world.heard.errors) == (many + 1, [])
    assert world.is_idle()


def test_a_guest_may_not_move_more_often_than_others() -> None:
    world = Lent(migrations=0)
    world.send()
    guest = world.last
    guest.say(2)
    guest.fail(Disconnected("lost"))
    assert world.legs == [guest]
    assert [type(error) for error in world.heard.errors] == [Disconnected]
    counts = world.dispatcher.migrations
    assert (counts.ongoing, list(counts.took)) == (0, [("ongoing_request", "failed")])
    assert world.is_idle()
