"""What is kept of the ways of a request: who was weighed, who was spared, why it left."""

from __future__ import annotations

from dynamo_cli.errors import Disconnected
from dynamo_cli.protocol.engine import Delta
from dynamo_cli.protocol.kv import Stored, block_hashes
from dynamo_cli.protocol.load import BusyThresholds, WorkerLoad
from dynamo_cli.routing.dispatch import Dispatcher
from dynamo_cli.routing.hints import RoutingHints
from dynamo_cli.routing.thresholds import Thresholds
from tests.routing.test_dispatch import World as PlainWorld
from tests.routing.test_kv_placing import BLOCK, PROMPT, World, end


def test_a_leg_tells_what_each_candidate_had_and_cost_before_the_request_was_counted() -> None:
    world = World()
    world.placer.hear(2, [Stored(list(block_hashes(PROMPT, BLOCK))[:4])])
    first = world.send(list(range(32)), pinned=3)
    end(world.send())
    (leg,) = world.flight.legs
    assert leg.weighed is not None and leg.worker == 2 and not leg.named
    standings = {one.worker: one for one in leg.weighed.standings()}
    assert (leg.weighed.prompt_blocks, leg.weighed.bound) == (5, False)
    assert [standings[worker].overlap_blocks for worker in (1, 2, 3)] == [0, 4, 0]
    assert standings[3][3:] == (32, 2, 1) and standings[2][3:] == (0, 0, 0)
    costs = {worker: one.cost or 0.0 for worker, one in standings.items()}
    assert costs[2] == min(costs.values()) and 0 < costs[1] < costs[3]
    end(first)
    assert standings == {one.worker: one for one in leg.weighed.standings()}, "it changes no more"


def test_a_session_that_had_chosen_has_only_the_cost_of_its_worker() -> None:
    world = World(session_ttl_s=60.0)
    hints = RoutingHints(session="s")
    end(world.send(hints=hints))
    chosen = world.flight.legs[0].worker
    end(world.send(hints=hints))
    (leg,) = world.flight.legs
    assert leg.weighed is not None and leg.weighed.bound and leg.hints.session == "s"
    assert [one.worker for one in leg.weighed.standings() if one.cost is not None] == [chosen] == [leg.worker]


def test_a_request_that_moves_has_a_leg_for_each_worker_and_why_it_left() -> None:
    world = World()
    stream = world.send()
    lost = stream.instance
    stream.sink.on_frame([Delta([1, 2])])
    world.have(*({1, 2, 3} - {lost}))
    stream.sink.on_error(Disconnected("it went away"))
    first, second = world.flight.legs
    assert (first.worker, first.left, first.tokens) == (lost, "it went away", 2)
    assert (second.worker, second.left, second.tokens) == (world.client.streams[-1].instance, "", 0)
    assert lost in first.cards and lost not in second.cards
    assert second.began >= first.began


def test_other_modes_weigh_nothing_and_the_spared_are_known() -> None:
    world = PlainWorld()
    thresholds = Thresholds(BusyThresholds(active_prefill_tokens_threshold=10))
    world.dispatcher = Dispatcher(world.dispatcher.placer, thresholds=thresholds)
    world.model.loads.report(2, WorkerLoad(active_prefill_tokens=11))
    (leg,) = world.send().legs
    assert leg.weighed is None
    assert set(leg.workers) - set(leg.candidates) == {2}


def test_hits_are_counted_by_worker_as_long_as_it_is_there() -> None:
    world = World()
    world.placer.hear(2, [Stored(list(block_hashes(PROMPT, BLOCK))[:4])])
    for _ in range(2):
        end(world.send())
    routed = world.placer.counts.routed_to
    assert {worker: (one.requests, one.prompt_tokens, one.found_tokens) for worker, one in routed.items()} == {
        2: (2, 160, 128)
    }
    world.have(1, 3)
    assert not routed
