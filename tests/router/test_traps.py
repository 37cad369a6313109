"""Workloads on which KV-aware routers have gone wrong, in virtual time on simulated workers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from itertools import count

import pytest

from dynamo_cli.protocol.kv import Removed, Stored
from dynamo_cli.router.core import KvRouter
from dynamo_cli.router.policies import make_policy
from dynamo_cli.router.policies.base import RoutingRequest
from tests.router.cluster import BLOCK_SIZE, Arrival, Cluster


def kv_router(workers: int = 4, policy: str = "kv", blocks: int = 0) -> KvRouter:
    router = KvRouter(make_policy(policy, random.Random(0)), block_size=BLOCK_SIZE)
    for worker in range(workers):
        router.add_worker(worker, blocks)
    return router


def uniform(seed: int, number: int, rate: float, root: bool = False) -> Iterator[Arrival]:
    """Prompts that share nothing, or their first block alone; lengths vary a hundredfold."""
    rng, names, at = random.Random(seed), count(1), 0.0
    for _ in range(number):
        at += rng.expovariate(rate)
        tokens = int(min(60_000, max(600, rng.lognormvariate(8.5, 1.0))))
        own = [next(names) for _ in range(tokens // BLOCK_SIZE)]
        yield Arrival(at, tokens, 2 + int(rng.lognormvariate(4.5, 0.8)), [0, *own[1:]] if root else own)


def conversations(seed: int, sessions: int, rate: float, think_s: float = 20.0) -> list[Arrival]:
    """Prompts that grow turn by turn, behind a system prompt common to all."""
    rng, names, arrivals, begin = random.Random(seed), count(10), [], 0.0
    for _ in range(sessions):
        begin += rng.expovariate(rate)
        prompt, at = [0, 1, 2], begin
        for _ in range(1 + int(rng.expovariate(1 / 6))):
            prompt = prompt + [next(names) for _ in range(1 + int(rng.expovariate(1 / 4)))]
            arrivals.append(Arrival(at, len(prompt) * BLOCK_SIZE + 9, 2 + int(rng.expovariate(1 / 150)), prompt))
            at += rng.expovariate(1 / think_s)
    return sorted(arrivals, key=lambda arrival: arrival.at)


@pytest.mark.parametrize("root", [False, True], ids=["nothing", "the first block"])
@pytest.mark.parametrize("rate", [6.0, 14.0])
def test_prompts_that_share_nothing_useful_do_as_well_as_with_least_tokens(root: bool, rate: float) -> None:
    least = Cluster("least-tokens").run(uniform(1, 1000, rate, root))
    ours = Cluster("kv").run(uniform(1, 1000, rate, root))
    assert ours.mean_ttft_s <= 1.05 * least.mean_ttft_s
    assert ours.mean_e2e_s <= 1.05 * least.mean_e2e_s
    assert max(Counter(ours.routed).values()) < 1.5 * 1000 / 8


@pytest.mark.parametrize("cluster", ["events", "late events", "capacity unknown", "guesses"])
def test_conversations_find_their_prefixes_and_nobody_piles_up(cluster: str) -> None:
    arrivals = conversations(2, 300, 5.0)
    reference = Cluster("reference", blocks=700).run(arrivals)
    options = {
        "events": {},
        "late events": {"lag_s": 5.0},
        "capacity unknown": {"capacity_known": False},
        "guesses": {"guess": True},
    }
    ours = Cluster("kv", blocks=700, **options[cluster]).run(arrivals)
    assert ours.hits > reference.hits
    assert ours.mean_ttft_s < 0.85 * reference.mean_ttft_s
    assert ours.mean_e2e_s < 1.03 * reference.mean_e2e_s
    assert ours.max_over_mean < 1.25


def test_a_burst_of_one_long_prefix_before_the_first_event_stays_together() -> None:
    """Twenty users of each of four documents come at once; no event is heard meanwhile."""
    names = count(1000)
    documents = [[next(names) for _ in range(60)] for _ in range(4)]
    arrivals = [
        Arrival(0.001 * number, 61 * BLOCK_SIZE + 9, 20, [*documents[number % 4], next(names)]) for number in range(80)
    ]
    ours = Cluster("kv", workers=4, lag_s=60.0).run(arrivals)
    assert ours.hits > 0.9
    assert ours.max_over_mean < 1.5
    least = Cluster("least-tokens", workers=4, lag_s=60.0).run(arrivals)
    assert ours.mean_ttft_s < 0.7 * least.mean_ttft_s


def test_a_burst_of_one_prefix_for_all_is_not_left_to_one_worker_for_ever() -> None:
    router, prompt = kv_router(), list(range(10))
    routed = Counter(
        router.route(RoutingRequest([*prompt, 100 + at], 11 * BLOCK_SIZE, str(at)), range(4), 0.0).worker
        for at in range(100)
    )
    assert set(routed) == {0, 1, 2, 3}


def test_a_worker_restarted_empty_is_expected_to_hold_nothing() -> None:
    router, prompt = kv_router(), list(range(50))
    for worker in range(3):
        router.apply(worker, Stored(prompt[:10]))
    router.apply(3, Stored(prompt))
    request = RoutingRequest(prompt, 50 * BLOCK_SIZE, "r")
    assert router.decide(request, range(4), 0.0)[:2] == (3, 50)
    router.route(RoutingRequest(prompt, 50 * BLOCK_SIZE, "lost"), [3], 0.0)
    router.add_worker(3)
    assert router.decide(request, range(4), 0.0).worker != 3
    router.first_token("lost", 1.0)
    router.free("lost", 1.0)
    assert not router.active.requests and not router.active.prefill_tokens and not router.active.blocks


def test_a_worker_that_joins_gets_work_but_not_all_of_it() -> None:
    router, names = kv_router(4), count(100)
    live: list[str] = []

    def one(at: int) -> int:
        prompt = [0, *(next(names) for _ in range(9))]
        worker = router.route(RoutingRequest(prompt, 10 * BLOCK_SIZE, str(at)), list(router.workers), at * 0.1).worker
        router.apply(worker, Stored(prompt))
        router.first_token(str(at), at * 0.1)
        live.append(str(at))
        if len(live) > 40:
            router.free(live.pop(0), at * 0.1)
        return worker

    for at in range(400):
        one(at)
    router.add_worker(9)
    routed = [one(at) for at in range(400, 800)]
    assert routed[:100].count(9) >= 15
    assert routed.count(9) < 150
    assert routed[:30].count(9) < 25


def test_lost_repeated_and_reordered_events_do_no_lasting_harm() -> None:
    """Afterwards the true events, heard again, make everything right: nothing is left behind."""
    rng, router, exact = random.Random(5), kv_router(3, blocks=4000), kv_router(3, blocks=4000)
    prompts = [[root, *range(root * 1000, root * 1000 + rng.randrange(5, 90))] for root in range(1, 30)]
    told: list[tuple[int, Stored | Removed]] = []
    for _ in range(400):
        prompt, worker = rng.choice(prompts), rng.randrange(3)
        cut = rng.randrange(len(prompt))
        told.append((worker, Stored(prompt) if rng.random() < 0.6 else Removed(prompt[cut:][::-1])))
    muddled = [each for each in told for _ in range(rng.choice((0, 1, 1, 2)))]
    for at in range(0, len(muddled) - 4, 5):
        muddled[at : at + 5] = rng.sample(muddled[at : at + 5], 5)
    for worker, event in muddled:
        router.apply(worker, event)
        worker_held = router.index.device.held(worker)
        assert 0 <= worker_held <= 4000
    for worker, event in told:
        exact.apply(worker, event)
    for worker in range(3):
        held = [block for prompt in prompts for block in prompt if exact.index.device.follows(worker, [block], 0)]
        gone = [block for prompt in prompts for block in prompt if block not in set(held)]
        router.apply(worker, Removed(gone))
        router.apply(worker, Stored(held))
    for prompt in prompts:
        assert router.index.device.overlaps(prompt) == exact.index.device.overlaps(prompt)
    assert len(router.index) == len(exact.index)


def test_events_of_nobody_are_not_kept() -> None:
    router = kv_router(2)
    router.remove_worker(1)
    router.apply(1, Stored([1, 2, 3]))
    router.apply(77, Stored([1, 2, 3]))
    assert router.unheard == 2 and len(router.index) == 0
