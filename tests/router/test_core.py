from __future__ import annotations

import random

import pytest

from dynamo_cli.errors import UsageError
from dynamo_cli.protocol.kv import Cleared, Stored
from dynamo_cli.protocol.sequences import SequenceEvent
from dynamo_cli.router.affinity import SessionAffinity
from dynamo_cli.router.core import KvRouter
from dynamo_cli.router.index import ApproximateIndex
from dynamo_cli.router.policies import POLICIES, make_policy
from dynamo_cli.router.policies.base import Overrides, RoutingRequest

PROMPT = list(range(1000, 1040))
BOTH = [1, 2]


def router_of(policy: str = "kv", workers: tuple[int, ...] = (1, 2), **options: object) -> KvRouter:
    router = KvRouter(make_policy(policy, random.Random(0)), block_size=16, **options)  # type: ignore[arg-type]
    for worker in workers:
        router.add_worker(worker)
    return router


def ask(request_id: str = "r", prompt: list[int] = PROMPT, **more: object) -> RoutingRequest:
    return RoutingRequest(prompt, len(prompt) * 16 + 3, request_id, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", POLICIES)
def test_whatever_the_policy_a_routed_request_counts_at_once_and_until_it_ends(policy: str) -> None:
    router = router_of(policy)
    decision = router.route(ask(), BOTH, 0.0)
    assert router.active.requests == {decision.worker: 1}
    assert router.active.prefill_tokens == {decision.worker: 643}
    router.first_token("r", 1.0)
    router.free("r", 2.0)
    assert not router.active.requests and not router.active.blocks


def test_deciding_alone_records_nothing() -> None:
    router = router_of()
    router.decide(ask(), BOTH, 0.0)
    assert not router.active.requests and len(router.active) == 0


def test_the_worker_with_the_prefix_wins_until_waiting_there_costs_more() -> None:
    router = router_of()
    router.apply(2, Stored(PROMPT[:30]))
    assert router.decide(ask(), BOTH, 0.0)[:2] == (2, 30)
    router.route(ask("other", [*range(200)]), [2], 0.0)
    assert router.decide(ask(), BOTH, 0.0).worker == 1
    router.free("other")
    assert router.decide(ask(), BOTH, 0.0).worker == 2


def test_the_busier_the_workers_the_more_a_found_block_is_worth() -> None:
    """The same queue at the holder: given up when nobody waits behind it, kept when many do."""
    router = router_of()
    router.apply(2, Stored(PROMPT))
    router.route(ask("queued", [*range(45)]), [2], 0.0)
    assert router.decide(ask(), BOTH, 0.0).worker == 1
    for number in range(30):
        worker = BOTH[number % 2]
        router.route(ask(f"{number}", []), [worker], 0.0)
        router.first_token(f"{number}", 0.0)
    assert router.decide(ask(), BOTH, 0.0).worker == 2


def test_a_request_may_want_no_credit_for_what_is_found() -> None:
    router = router_of()
    router.apply(2, Stored(PROMPT))
    router.route(ask("queued", [1]), [2], 0.0)
    assert router.decide(ask(), BOTH, 0.0).worker == 2
    assert router.decide(ask(overrides=Overrides(overlap_credit=0.0)), BOTH, 0.0).worker == 1


def test_slower_tiers_count_for_less() -> None:
    router = router_of(workers=(1, 2, 3))
    router.apply(1, Stored(PROMPT[:20]))
    router.apply(2, Stored(PROMPT, "disk"))
    router.apply(3, Stored(PROMPT[:10]))
    router.apply(3, Stored(PROMPT[10:], "host"))
    costs = router.decide(ask(), [1, 2, 3], 0.0).costs
    assert costs == pytest.approx([643 - 320, 643 - 160, 643 - 160 - 360])


def test_predicted_blocks_cover_slower_tiers_and_last_for_their_own_time() -> None:
    router = router_of(predict=ApproximateIndex(ttl_s=5.0))
    router.apply(2, Stored(PROMPT, "host"))
    router.route(ask(), [2], 0.0)
    router.free("r", 1.0)
    costs = router.decide(ask("next"), BOTH, 2.0).costs
    assert costs is not None and costs[1] < 50
    costs = router.decide(ask("next"), BOTH, 5.5).costs
    assert costs is not None and costs[1] > 150


def test_without_events_it_guesses() -> None:
    router = router_of(guess=ApproximateIndex(ttl_s=120.0))
    router.route(ask(), [2], 0.0)
    router.free("r", 1.0)
    assert router.decide(ask("next"), BOTH, 100.0)[:2] == (2, 40)
    router.apply(2, Cleared())
    assert router.decide(ask("next"), BOTH, 100.0).overlap_blocks == 0


def test_a_worker_of_another_block_size_is_refused() -> None:
    with pytest.raises(UsageError, match="blocks of 32 tokens, this router hashes blocks of 16: give all"):
        router_of().add_worker(9, block_size=32)


def test_sessions_stay_and_are_free_again_when_their_worker_is_gone() -> None:
    router = router_of("least-tokens", affinity=SessionAffinity(60, "hard"))
    first = router.route(ask("a", session="s"), BOTH, 0.0).worker
    for number in range(5):
        assert router.route(ask(f"b{number}", session="s"), BOTH, 1.0).worker == first
    router.remove_worker(first)
    other = 3 - first
    assert router.route(ask("c", session="s"), [other], 2.0).worker == other
    for request in ("a", "b0", "b1", "b2", "b3", "b4", "c"):
        router.free(request, 3.0)
    assert not router._sessions


def test_a_soft_session_moves_when_waiting_takes_longer_than_computing_anew() -> None:
    router = router_of("least-tokens", affinity=SessionAffinity(60, "soft"))
    router.route(ask("a", session="s"), [1], 0.0)
    assert router.route(ask("b", session="s"), BOTH, 0.0).worker == 1
    assert router.route(ask("c", session="s"), BOTH, 0.0).worker == 2


def test_routers_that_hear_each_other_weigh_the_same_costs() -> None:
    told: list[SequenceEvent] = []
    here, there = router_of(router_id="here", publish=told.append), router_of(router_id="there")
    here.route(ask("a"), [1], 0.0)
    here.route(ask("b", PROMPT[:7]), [2], 0.0)
    here.first_token("b", 0.0)
    for event in told * 2:
        there.hear(event, 0.0)
    assert there.active.requests == here.active.requests
    assert there.decide(ask("c"), BOTH, 0.0).costs == here.decide(ask("c"), BOTH, 0.0).costs


def test_lost_requests_do_not_weigh_for_ever() -> None:
    router = router_of(affinity=SessionAffinity(600))
    router.route(ask("lost", session="s"), [1], 0.0)
    router.route(ask("later"), [2], 400.0)
    assert router.active.requests == {2: 1} and not router._sessions


def test_recent_work_is_forgotten_and_survives_a_long_time() -> None:
    router = router_of()
    router.route(ask("a", [8] * 40_000), [1], 0.0)
    router.free("a")
    costs = router.decide(ask("b", [7] * 40), BOTH, 1.0).costs
    assert costs is not None and costs[0] > 2 * costs[1]
    for now in (600.0, 1e6, 1e9):
        later = router.decide(ask("b", [7] * 40), BOTH, now).costs
        assert later is not None and later[0] == pytest.approx(later[1], rel=0.01)
        router.recent.add(1, 100, now)
