"""Router mode kv in the dispatcher, with clients that only remember what they were sent."""

from __future__ import annotations

import random
from functools import partial
from itertools import count
from typing import Any

import pytest

from dynamo_cli.errors import Disconnected
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage
from dynamo_cli.protocol.instance import EndpointId, Instance, ModelCard, ModelIdentity
from dynamo_cli.protocol.kv import Cleared, Removed, Stored, block_hashes
from dynamo_cli.routing.dispatch import Dispatcher
from dynamo_cli.routing.hints import NO_HINTS, RoutingHints
from dynamo_cli.routing.kv_options import KvRoutingOptions
from dynamo_cli.routing.kv_placing import KvPlacer
from dynamo_cli.routing.registry import RoutedModel
from tests.routing.test_dispatch import FakeClient, FakeStream, Heard

PROMPT = list(range(100, 180))
BLOCK = 16


def card_of(worker: int, **more: Any) -> ModelCard:
    instance = Instance(EndpointId("dynamo", "backend", "generate"), worker, "")
    return ModelCard("m", ModelIdentity(kv_block_size=BLOCK), instance, **{"kv_events": True, **more})


class World:
    def __init__(self, workers: int = 3, card: Any = card_of, **options: Any) -> None:
        self.now = 0.0
        self.model = RoutedModel("m")
        self.client = FakeClient(self.model)
        self.card = card
        self.placer = KvPlacer(self.model, KvRoutingOptions(**options), random.Random(1), lambda: self.now)
        self.have(*range(1, workers + 1))
        self.dispatcher = Dispatcher(self.placer)
        self.heard = Heard()
        self._numbers = count()

    @property
    def router(self) -> Any:
        return self.placer.router

    def have(self, *workers: int) -> None:
        """Now these are the model's workers."""
        cards = {worker: self.card(worker) for worker in workers}
        self.model.cards = cards
        self.model.candidates = list(workers)
        self.model.clients = dict.fromkeys(workers, self.client)  # type: ignore[arg-type]
        self.model.identity = next(iter(cards.values())).identity if cards else None
        self.placer.workers_changed()

    def send(
        self, prompt: list[int] = PROMPT, *, pinned: int | None = None, hints: RoutingHints = NO_HINTS
    ) -> FakeStream:
        self.flight = self.dispatcher.send(
            EngineRequest("m", prompt),
            self.heard,
            request_id=f"r{next(self._numbers)}",
            instance_id=pinned,
            hints=hints,
        )
        return self.client.streams[-1]

    def idle(self) -> bool:
        active = self.router.active
        return not (len(active) or active.requests or active.prefill_tokens or active.blocks or active.generated)


def end(stream: FakeStream) -> None:
    stream.sink.on_frame([Delta([1], "stop", usage=EngineUsage(80, 1))])
    stream.sink.on_end()


@pytest.mark.parametrize("worker", [1, 2, 3])
def test_a_request_goes_to_who_told_of_its_prompt(worker: int) -> None:
    world = World()
    world.router.apply(worker, Stored(block_hashes(PROMPT, BLOCK)[:4]))
    assert world.send().instance == worker
    assert world.flight.kv_hit_rate == pytest.approx(4 * BLOCK / len(PROMPT))
    assert world.router.active.prefill_tokens == {worker: len(PROMPT) - 4 * BLOCK}


def test_it_counts_until_its_first_token_and_its_end() -> None:
    world = World(1)
    stream = world.send()
    assert world.router.active.prefill_tokens == {1: 80}
    stream.sink.on_frame([Delta([1])])
    assert world.router.active.prefill_tokens == {}
    assert world.router.active.blocks == {1: 5}
    end(stream)
    assert world.idle() and world.dispatcher.inflight == {}


@pytest.mark.parametrize("how", ["end", "cancel", "error", "moved"])
def test_nothing_is_left_however_it_ends(how: str) -> None:
    world = World(2)
    stream = world.send()
    if how == "cancel":
        world.flight.cancel()
    elif how == "end":
        end(stream)
    else:
        stream.sink.on_frame([Delta([7, 8])])
        stream.sink.on_error(Disconnected("gone"))
        moved = world.client.streams[-1]
        assert moved.instance != stream.instance
        assert world.router.active.requests == {moved.instance: 1}
        assert world.router.active.prefill_tokens == {moved.instance: 82}
        if how == "error":
            moved.sink.on_error(Disconnected("gone too"))
        else:
            end(moved)
    assert world.idle() and world.dispatcher.inflight == {}


def test_a_pinned_request_counts_where_it_was_pinned() -> None:
    world = World()
    world.router.apply(1, Stored(block_hashes(PROMPT, BLOCK)))
    assert world.send(pinned=2).instance == 2
    assert world.router.active.requests == {2: 1}
    assert world.flight.kv_hit_rate == 0.0


def test_a_prompt_on_its_way_draws_the_next_one_like_it() -> None:
    world = World(4)
    first = world.send()
    first.sink.on_frame([Delta([1])])
    assert world.send().instance == first.instance
    assert world.flight.kv_hit_rate == 1.0


def test_a_worker_that_goes_takes_its_blocks_and_requests_along() -> None:
    world = World()
    world.router.apply(2, Stored(block_hashes(PROMPT, BLOCK)))
    stream = world.send()
    world.have(1, 3)
    assert world.idle() and len(world.router.index) == 0
    end(stream)
    assert world.idle()
    world.have(1, 2, 3)
    world.send()
    assert world.flight.kv_hit_rate == 0.0


def test_workers_with_another_block_size_are_hashed_anew() -> None:
    world = World()
    stream = world.send()
    world.have()
    world.card = lambda worker: _with_blocks_of(32, worker)
    world.have(7)
    assert world.router.block_size == 32
    world.router.apply(7, Stored(block_hashes(PROMPT, 32)))
    world.send()
    assert world.flight.kv_hit_rate == pytest.approx(64 / 80)
    end(stream)
    assert world.router.active.requests == {7: 1}


def _with_blocks_of(size: int, worker: int) -> ModelCard:
    instance = Instance(EndpointId("dynamo", "backend", "generate"), worker, "")
    return ModelCard("m", ModelIdentity(kv_block_size=size), instance, kv_events=True)


@pytest.mark.parametrize(
    ("silent", "options"),
    [({"kv_events": False}, {}), ({}, {"use_events": False})],
    ids=["tells nothing", "not believed"],
)
def test_without_events_what_was_routed_is_thought_to_be_there(silent: Any, options: Any) -> None:
    world = World(4, lambda worker: card_of(worker, **silent), ttl_s=10.0, **options)
    first = world.send()
    end(first)
    world.now = 9.0
    again = world.send()
    assert (again.instance, world.flight.kv_hit_rate) == (first.instance, 1.0)
    end(again)
    world.now = 20.0
    world.send()
    assert world.flight.kv_hit_rate == 0.0


def test_workers_that_tell_and_workers_that_do_not_serve_one_model() -> None:
    world = World(2, lambda worker: card_of(worker, kv_events=worker == 1))
    told, guessed = PROMPT, [token + 1000 for token in PROMPT]
    world.router.apply(1, Stored(block_hashes(told, BLOCK)))
    end(world.send(guessed, pinned=2))
    assert world.send(told).instance == 1
    assert world.send(guessed).instance == 2
    assert world.flight.kv_hit_rate == 1.0


def test_an_engine_without_blocks_is_guessed_in_blocks_of_our_own() -> None:
    world = World(2, lambda worker: _with_blocks_of(0, worker), block_size=8)
    assert world.router.block_size == 8
    first = world.send()
    end(first)
    assert world.send().instance == first.instance
    assert world.flight.kv_hit_rate == 1.0


def test_sessions_stay_where_they_are_when_asked_for() -> None:
    world = World(8, session_ttl_s=60)
    prompts = [[number] * 40 for number in range(20)]
    streams = [world.send(prompt, hints=RoutingHints(session="s")) for prompt in prompts]
    assert len({stream.instance for stream in streams}) == 1


def test_a_request_may_look_at_load_alone() -> None:
    world = World(2)
    world.router.apply(1, Stored(block_hashes(PROMPT, BLOCK)))
    world.send([5], pinned=1)
    assert world.send(hints=RoutingHints(overlap_credit=0.0)).instance == 2


def test_answers_count_when_they_are_tracked() -> None:
    world = World(1, track_output_blocks=True)
    stream = world.send()
    for _ in range(5):
        stream.sink.on_frame([Delta(list(range(10)))])
    assert world.router.active.generated == {1: 2.0}
    end(stream)
    assert world.idle()


def test_blocks_in_use_do_not_count_when_they_are_not_tracked() -> None:
    world = World(1, track_active_blocks=False)
    world.send()
    assert world.router.active.blocks == {}
    assert world.router.active.requests == {1: 1}


@pytest.mark.parametrize("policy", ["kv", "reference", "least-tokens"])
def test_each_policy_leaves_nothing_behind(policy: str) -> None:
    world = World(policy=policy)
    streams = [world.send([number] * 50) for number in range(12)]
    assert {stream.instance for stream in streams} == {1, 2, 3}
    for stream in streams:
        end(stream)
    assert world.idle()


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", "dynamo_cli.routing")
    return caplog


def answered(world: World, prompt: list[int] = PROMPT) -> None:
    end(world.send(prompt))


def test_events_that_never_come_are_missed_once_and_a_late_one_heals_it(said: pytest.LogCaptureFixture) -> None:
    world = World(1)
    for world.now in (0.0, 4.0, 5.0, 11.0, 30.0):
        answered(world)
    assert world.placer.diagnosis.blind == {1: "silent"}
    assert said.text.count("--no-router-kv-events") == 1
    world.placer.hear(1, [Stored(block_hashes(PROMPT, BLOCK))])
    assert world.placer.diagnosis.blind == {}
    for world.now in (40.0, 60.0):
        answered(world)
    assert said.text.count("--no-router-kv-events") == 1


@pytest.mark.parametrize("what", ["told", "short prompts", "guessed"])
def test_nothing_is_missed_without_reason(what: str, said: pytest.LogCaptureFixture) -> None:
    world = World(1, lambda worker: card_of(worker, kv_events=what != "guessed"))
    if what == "told":
        world.placer.hear(1, [Stored([1])])
    for world.now in (0.0, 6.0, 12.0, 30.0):
        answered(world, PROMPT[:5] if what == "short prompts" else PROMPT)
    assert not world.placer.diagnosis.blind and not said.text


def test_a_worker_without_a_prefix_cache_is_said_and_nothing_is_guessed_of_it(said: pytest.LogCaptureFixture) -> None:
    world = World(1, lambda worker: card_of(worker, kv_events=False, prefix_caching=False))
    answered(world)
    answered(world)
    assert world.flight.kv_hit_rate == 0.0
    assert world.placer.diagnosis.blind == {1: "no_prefix_cache"}
    assert said.text.count("switch its prefix caching on") == 1
    world.have()
    assert world.placer.diagnosis.blind == {}


def test_a_block_size_that_is_not_used_is_said(said: pytest.LogCaptureFixture) -> None:
    world = World(block_size=32)
    world.have(1, 2, 3, 4)
    assert said.text.count("blocks of 16 tokens: --kv-cache-block-size 32 is not used") == 1


def test_events_without_a_block_size_are_said_and_guessed(said: pytest.LogCaptureFixture) -> None:
    world = World(1, lambda worker: _with_blocks_of(0, worker))
    answered(world)
    answered(world)
    assert world.flight.kv_hit_rate == 1.0
    assert "let its engine declare kv_block_size" in said.text


def test_a_decision_is_explained_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "dynamo_cli.routing")
    world = World(2)
    world.router.apply(2, Stored(block_hashes(PROMPT, BLOCK)[:3]))
    world.send()
    assert "request r0 of 80 tokens, 5 blocks: 1 cost 80.0 (0 blocks found" in caplog.text
    assert "2 cost 32.0 (3 blocks found, 0 tokens queued, 0 blocks in use, 0 requests)" in caplog.text


def test_what_was_done_is_counted() -> None:
    world = World(2)
    world.placer.hear(1, [Stored(block_hashes(PROMPT, BLOCK)), Removed([5]), Cleared()])
    world.placer.hear(1, [Stored(block_hashes(PROMPT, BLOCK)[:4])])
    world.send()
    world.send(pinned=2)
    counts = world.placer.counts
    assert counts.applied == {"stored": 2, "removed": 1, "cleared": 1}
    assert (counts.requests, counts.missed) == (2, 0)
    assert (counts.selected_tokens, counts.best_tokens) == (64, 64)


def test_what_is_known_of_a_worker_is_what_it_told_or_what_is_guessed() -> None:
    world = World(2, lambda worker: card_of(worker, kv_events=worker == 1))
    world.placer.hear(1, [Stored([1, 2])])
    answered(world, PROMPT)
    world.send(PROMPT, pinned=2)
    assert (world.router.known_blocks(1), world.router.known_blocks(2)) == (2, 5)


def test_a_request_counts_however_long_it_takes() -> None:
    world = World(1)
    stream = world.send()
    stream.sink.on_frame([Delta([1])])
    world.now = 3600.0
    answered(world, [1])
    assert world.router.active.requests == {1: 1}
    end(stream)
    assert world.idle()


def test_with_policy_lru_a_guess_ends_when_the_worker_has_no_room_for_it_any_more() -> None:
    """Not by its age; 8 blocks hold one prompt of 5 and a part of the other."""
    card = partial(card_of, kv_events=False, total_kv_blocks=8)
    other = list(range(500, 580))
    for policy, left in (("ttl", {}), ("lru", {1: 3})):
        world = World(1, card, ttl_s=10.0, cache_policy=policy)
        end(world.send())
        world.now = 1000.0
        end(world.send(other))
        assert world.router.known_blocks(1) == (5 if policy == "ttl" else 8)
        assert world.router._guess.overlaps(block_hashes(other, BLOCK), world.now) == {1: 5}
        assert world.router._guess.overlaps(block_hashes(PROMPT, BLOCK), world.now) == left


def test_the_references_cost_takes_its_own_weights() -> None:
    world = World(2, policy="reference", decode_active_request_weight=100.0, prefill_load_scale=2.0)
    first = world.send()
    world.send()
    (leg,) = world.flight.legs
    assert leg.weighed is not None
    costs = {one.worker: one.cost for one in leg.weighed.standings()}
    assert costs[first.instance] == pytest.approx(2 * 10 + 5 + 100)
    assert min(costs.values()) == pytest.approx(2 * 5 + 5)
