"""`dynamo replay`: a trace under one policy after the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from dynamo_cli.bench.replay.ceiling import pooled_lru_hit_ratio
from dynamo_cli.bench.replay.cluster import Cluster, Outcome, Shape
from dynamo_cli.bench.replay.plot import plot
from dynamo_cli.bench.replay.result import PolicyResult, as_table, timed_result
from dynamo_cli.bench.replay.workload import ReplayWorkload, workload
from dynamo_cli.bench.traces.read import read_trace
from dynamo_cli.errors import ResourceMissing, UsageError
from dynamo_cli.router.policies import check_policy


@dataclass(frozen=True)
class ReplayOptions:
    """`blocks`: of each worker, in place of `cache_fraction`. `policy`: names, comma separated."""

    trace: Path
    policy: str = "kv,reference"
    workers: int = 8
    cache_fraction: float = 0.25
    blocks: int | None = None
    speed: float = 1.0
    seed: int = 0
    limit: int | None = None
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 8192
    speedup: float = 1.0
    plot: Path | None = None


@dataclass(frozen=True)
class Replayed:
    """`remarks`: what a person should know of the trace."""

    results: list[PolicyResult]
    remarks: list[str]

    def as_json(self) -> str:
        return msgspec.json.format(msgspec.json.encode(self.results), indent=2).decode()

    def as_table(self) -> str:
        return as_table(self.results)


def run_replay(options: ReplayOptions) -> Replayed:
    """Raises UsageError for a trace or option that cannot be used, ResourceMissing when the plot cannot be written."""
    policies = _policies(options.policy)
    if options.plot is not None:
        _check_writable(options.plot)
    remarks: list[str] = []
    load = workload(read_trace(options.trace, remarks), speed=options.speed, limit=options.limit)
    shape = _shape(options, load)
    ceiling = pooled_lru_hit_ratio(load, shape.blocks * shape.workers)
    outcomes: dict[str, Outcome] = {}
    results = []
    for policy in policies:
        cluster = Cluster(load, shape, policy, options.seed)
        results.append(timed_result(policy, options.seed, load, cluster, ceiling))
        outcomes[policy] = cluster.outcome
    if options.plot is not None:
        options.plot.write_text(plot(results, outcomes))
    return Replayed(results, remarks)


def _policies(names: str) -> list[str]:
    return list(dict.fromkeys(check_policy(name.strip()) for name in names.split(",")))


def _shape(options: ReplayOptions, load: ReplayWorkload) -> Shape:
    blocks = options.blocks or int(load.unique_blocks * options.cache_fraction) // options.workers
    if blocks < 1:
        raise UsageError(
            f"--cache-fraction {options.cache_fraction:g} of {load.unique_blocks} blocks leaves none for each of "
            f"{options.workers} workers"
        )
    if options.max_num_batched_tokens < options.max_num_seqs:
        raise UsageError(
            f"--max-num-batched-tokens {options.max_num_batched_tokens} is below --max-num-seqs "
            f"{options.max_num_seqs}: not every sequence could decode in a step"
        )
    return Shape(options.workers, blocks, options.max_num_seqs, options.max_num_batched_tokens, speedup=options.speedup)


def _check_writable(file: Path) -> None:
    try:
        file.open("a").close()
    except OSError as error:
        raise ResourceMissing(f"--plot {file}: {error.strerror}") from None
