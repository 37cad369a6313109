"""What a policy made of a trace."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import msgspec

from dynamo_cli.bench.replay.cluster import Cluster
from dynamo_cli.bench.replay.workload import ReplayWorkload
from dynamo_cli.bench.report.spread import percentile


class PolicyResult(msgspec.Struct, frozen=True, kw_only=True):
    """Times in milliseconds of virtual time, but `wall_s` and `cpu_s`: what the replay itself took, in seconds.

    `hit_ratio`: of the blocks of all prompts, those found in a cache at admission; `ceiling_hit_ratio`: what one
    pooled LRU cache of the same size would have. `itl`: of all gaps between two tokens. `prefill_max_over_mean`: of the
    prompt tokens each worker had to compute.
    """

    policy: str
    hit_ratio: float
    ceiling_hit_ratio: float
    ttft_mean_ms: float
    ttft_p50_ms: float
    ttft_p99_ms: float
    e2e_mean_ms: float
    e2e_p99_ms: float
    itl_mean_ms: float
    itl_p99_ms: float
    prefill_max_over_mean: float
    preemptions: int
    requests: int
    refused: int
    virtual_s: float
    seed: int
    wall_s: float
    cpu_s: float


def timed_result(policy: str, seed: int, load: ReplayWorkload, cluster: Cluster, ceiling: float) -> PolicyResult:
    """Run the cluster and say how it went, and what that took."""
    wall, cpu = time.perf_counter(), time.process_time()
    outcome = cluster.run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    ttft, e2e = sorted(outcome.ttft_s), sorted(outcome.e2e_s)
    prefill = outcome.prefill_tokens
    return PolicyResult(
        policy=policy,
        hit_ratio=round(outcome.cached_tokens / load.block_size / max(1, load.asked_blocks), 4),
        ceiling_hit_ratio=round(ceiling, 4),
        ttft_mean_ms=_ms(_mean(ttft)),
        ttft_p50_ms=_ms(_percentile(ttft, 50)),
        ttft_p99_ms=_ms(_percentile(ttft, 99)),
        e2e_mean_ms=_ms(_mean(e2e)),
        e2e_p99_ms=_ms(_percentile(e2e, 99)),
        itl_mean_ms=_ms(outcome.gaps.mean()),
        itl_p99_ms=_ms(outcome.gaps.quantile(0.99)),
        prefill_max_over_mean=round(max(prefill) / max(1, statistics.fmean(prefill)), 4),
        preemptions=outcome.preemptions,
        requests=len(ttft),
        refused=outcome.refused,
        virtual_s=round(outcome.ended_at, 3),
        seed=seed,
        wall_s=round(wall, 3),
        cpu_s=round(cpu, 3),
    )


def _percentile(ordered: Sequence[float], percent: float) -> float:
    return percentile(ordered, percent) if ordered else 0.0


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else 0.0


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


COLUMNS = ("POLICY", "HIT RATIO", "TTFT MEAN", "P99, ms", "E2E MEAN, s", "ITL MEAN", "P99, ms", "PREFILL MAX/MEAN")


def as_table(results: Sequence[PolicyResult]) -> str:
    rows = [COLUMNS, *(_cells(each) for each in results)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(COLUMNS))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    return "\n".join([*lines, "", *_about(results)])


def _cells(each: PolicyResult) -> tuple[str, ...]:
    return (
        each.policy,
        f"{each.hit_ratio:.3f}",
        f"{each.ttft_mean_ms:.0f}",
        f"{each.ttft_p99_ms:.0f}",
        f"{each.e2e_mean_ms / 1000:.2f}",
        f"{each.itl_mean_ms:.1f}",
        f"{each.itl_p99_ms:.1f}",
        f"{each.prefill_max_over_mean:.3f}",
    )


def _about(results: Sequence[PolicyResult]) -> list[str]:
    one = results[0]
    lines = [
        f"One pooled LRU cache of the same size would have {one.ceiling_hit_ratio:.3f} of the blocks.",
        f"{one.requests} requests, {one.virtual_s:.0f} s of virtual time; "
        f"the replay took {sum(each.cpu_s for each in results):.1f} CPU-s.",
    ]
    if one.refused:
        lines.append(f"{one.refused} requests fit no worker's KV cache and were refused.")
    return lines
