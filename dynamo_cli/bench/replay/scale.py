"""What the router and its simulated cluster cost as they grow: seconds and memory by the number of workers.

python -m dynamo_cli.bench.replay.scale [--requests N] [WORKERS...]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

import msgspec

from dynamo_cli.bench.cpu import own_peak_rss_bytes
from dynamo_cli.bench.replay.ceiling import pooled_lru_hit_ratio
from dynamo_cli.bench.replay.cluster import Cluster, Shape
from dynamo_cli.bench.replay.result import timed_result
from dynamo_cli.bench.replay.synthetic import conversations
from dynamo_cli.bench.replay.workload import workload

REQUESTS_PER_WORKER_S = 2.0


class Size(msgspec.Struct, frozen=True):
    """`us_per_request`: CPU of routing and simulating, in microseconds. `rss_mb`: of the process at its largest."""

    workers: int
    requests: int
    cpu_s: float
    us_per_request: float
    rss_mb: float
    hit_ratio: float
    ceiling_hit_ratio: float


def measure(workers: int, requests: int, policy: str = "kv") -> Size:
    """In this process, whose memory is counted."""
    load = workload(conversations(requests, workers * REQUESTS_PER_WORKER_S, prompts=max(20, workers)))
    shape = Shape(workers, max(512, load.unique_blocks // 4 // workers))
    ceiling = pooled_lru_hit_ratio(load, shape.blocks * workers)
    done = timed_result(policy, 0, load, Cluster(load, shape, policy, 0), ceiling)
    each = 1e6 * done.cpu_s / requests
    rss = own_peak_rss_bytes() / 1e6
    return Size(workers, requests, done.cpu_s, round(each, 1), round(rss, 1), done.hit_ratio, ceiling)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench-scale", description=__doc__.split("\n")[0])
    parser.add_argument("workers", nargs="*", type=int, default=[10, 100, 1000], metavar="WORKERS")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.one:
        sys.stdout.write(msgspec.json.encode(measure(arguments.workers[0], arguments.requests)).decode())
        return 0
    heads = ("workers", "requests", "CPU-s", "us a request", "peak MB", "hits", "of the ceiling")
    sys.stdout.write(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}\n")
    for workers in arguments.workers:
        size = _in_a_process_of_its_own(workers, arguments.requests)
        share = size.hit_ratio / size.ceiling_hit_ratio if size.ceiling_hit_ratio else 0.0
        figures = (workers, size.requests, size.cpu_s, size.us_per_request, size.rss_mb, size.hit_ratio)
        sys.stdout.write(f"| {' | '.join(f'{figure:g}' for figure in figures)} | {share:.2f} |\n")
        sys.stdout.flush()
    return 0


def _in_a_process_of_its_own(workers: int, requests: int) -> Size:
    command = [
        sys.executable,
        "-m",
        "dynamo_cli.bench.replay.scale",
        "--one",
        "--requests",
        str(requests),
        str(workers),
    ]
    return msgspec.json.decode(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout, type=Size)


if __name__ == "__main__":
    sys.exit(main())
