"""A cluster in virtual time, and what its router makes of made traces."""

from __future__ import annotations

import msgspec
import pytest

from dynamo_cli.bench.replay.ceiling import pooled_lru_hit_ratio
from dynamo_cli.bench.replay.cluster import Cluster, Shape
from dynamo_cli.bench.replay.result import PolicyResult, timed_result
from dynamo_cli.bench.replay.synthetic import conversations, uniform
from dynamo_cli.bench.replay.workload import ReplayWorkload, workload
from dynamo_cli.bench.traces.request import TracedRequest
from dynamo_cli.router.policies import POLICIES


def replayed(load: ReplayWorkload, shape: Shape, policy: str, seed: int = 0) -> PolicyResult:
    ceiling = pooled_lru_hit_ratio(load, shape.blocks * shape.workers)
    return timed_result(policy, seed, load, Cluster(load, shape, policy, seed), ceiling)


def quarter(load: ReplayWorkload, workers: int) -> Shape:
    return Shape(workers, load.unique_blocks // 4 // workers)


@pytest.fixture(scope="module")
def talk() -> ReplayWorkload:
    return workload(conversations(3000, 40.0))


@pytest.mark.parametrize("policy", POLICIES)
def test_every_request_ends_and_nothing_of_it_is_left(policy: str) -> None:
    load = workload(conversations(300, 20.0))
    cluster = Cluster(load, quarter(load, 4), policy, 0)
    outcome = cluster.run()
    assert len(outcome.ttft_s) == len(outcome.e2e_s) == 300
    assert 0 < min(outcome.ttft_s)
    active = cluster.router.active
    assert not any([*active.requests.values(), *active.prefill_tokens.values(), *active.blocks.values()])


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_seed_gives_the_same_figures(policy: str) -> None:
    load = workload(conversations(300, 20.0))
    first, second = (replayed(load, quarter(load, 4), policy, seed=7) for _ in range(2))
    assert msgspec.structs.replace(second, wall_s=first.wall_s, cpu_s=first.cpu_s) == first


def test_one_worker_that_holds_all_finds_what_can_be_found() -> None:
    requests = [TracedRequest(60.0 * at, 16 * 5 + 1, 4, [0, 1, at % 3 + 2, 7, at + 9, 999 + at], 16) for at in range(9)]
    requests = [
        msgspec.structs.replace(each, blocks=[hash(tuple(each.blocks[: n + 1])) for n in range(6)]) for each in requests
    ]
    load = workload(requests)
    done = replayed(load, Shape(1, 1000), "kv")
    assert done.hit_ratio == done.ceiling_hit_ratio > 0.3


def test_what_fits_no_cache_is_refused_and_counted() -> None:
    small, large = TracedRequest(0.0, 32, 4, [1, 2], 16), TracedRequest(1.0, 1600, 4, list(range(9, 109)), 16)
    done = replayed(workload([small, large, small]), Shape(2, 10), "kv")
    assert (done.requests, done.refused) == (2, 1)


def test_only_refusals() -> None:
    done = replayed(workload([TracedRequest(0.0, 1600, 4, list(range(100)), 16)]), Shape(2, 10), "kv")
    assert (done.requests, done.refused, done.ttft_p99_ms) == (0, 1, 0.0)


def test_requests_of_one_moment_share_a_pass() -> None:
    load = workload([TracedRequest(0.0, 512, 1, [at], 512) for at in range(4)])
    outcome = Cluster(load, Shape(1, 100), "kv", 0).run()
    assert len(set(outcome.ttft_s)) == 1


def test_kv_finds_most_of_what_can_be_found_and_answers_sooner(talk: ReplayWorkload) -> None:
    kv, reference = (replayed(talk, quarter(talk, 8), policy) for policy in ("kv", "reference"))
    assert kv.hit_ratio >= 0.85 * kv.ceiling_hit_ratio
    assert kv.hit_ratio > reference.hit_ratio
    assert kv.ttft_mean_ms <= 0.9 * reference.ttft_mean_ms
    assert kv.e2e_mean_ms <= reference.e2e_mean_ms
    assert kv.prefill_max_over_mean <= 1.2


def test_without_anything_shared_kv_is_least_tokens() -> None:
    load = workload(uniform(2000, 6.0))
    kv, least = (replayed(load, quarter(load, 8), policy) for policy in ("kv", "least-tokens"))
    assert kv.hit_ratio == least.hit_ratio == 0
    assert kv.ttft_mean_ms <= 1.05 * least.ttft_mean_ms
    assert kv.e2e_mean_ms <= 1.05 * least.e2e_mean_ms
