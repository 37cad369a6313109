"""The project's performance budgets, measured: one frontend in front of a mock worker, all as real processes.

    python -m dynamo_cli.bench.budgets [--runs N] [--quick] [--json] [ROW...]

CPU is the frontend's own: template, tokenizer, routing, detokenizer, metrics and HTTP included.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from dynamo_cli.bench.cpu import usage
from dynamo_cli.bench.rig import Deployment, Rig
from dynamo_cli.bench.work.synthetic import Shape
from dynamo_cli.bench.workload import Workload
from dynamo_cli.errors import DynamoError, UsageError

TOLERANCE = 1.1
NO_DELAY = "workers.decode.options.speedup_ratio=0"
REAL_TIME = "workers.decode.options.speedup_ratio=1"


class Result(msgspec.Struct, frozen=True):
    """`measured` is the median of `runs`; `met` allows a tenth above the budget."""

    row: str
    what: str
    unit: str
    budget: float
    measured: float
    ratio: float
    met: bool
    runs: list[float]


class Row(NamedTuple):
    """`once`: measured in one run only, because a run is long or a second one would start elsewhere."""

    name: str
    what: str
    unit: str
    budget: float
    once: bool = False


SHORT = Row("short", "1,000 short chat requests, not streamed (62 in, 16 out, 64 connections)", "CPU-s", 0.25)
BURST = Row("burst", "100,000 streamed tokens in bursts (543 in, 128 out, 64 connections)", "CPU-s", 0.8)
PACED = Row("paced", "100,000 streamed tokens at 6 ms ITL, 8 streams", "CPU-s", 2.0)
E2E = Row("e2e", "E2E p50 of a 62-in/1-out request, one connection", "ms", 0.7)
TTFT = Row("ttft", "streamed TTFT p50 of the same", "ms", 1.0)
NEW_8K = Row("8k-new", "8k-token prompt, new", "CPU-ms", 8.0)
SAME_8K = Row("8k-same", "8k-token prompt, repeated", "CPU-ms", 1.0)
RSS_IDLE = Row("rss-idle", "frontend's resident memory, idle", "MB", 90.0, once=True)
RSS_30K = Row("rss-30k", "frontend's resident memory after 30,000 requests", "MB", 130.0, once=True)
FIRST = Row("up", "`dynamo up` with a mock worker to the first answer", "s", 2.0)
STATUS = Row("status", "`dynamo status`", "CPU-s", 0.3)
HELP = Row("help", "`dynamo --help`", "CPU-s", 0.2)
ROWS = (SHORT, BURST, PACED, E2E, TTFT, NEW_8K, SAME_8K, RSS_IDLE, RSS_30K, FIRST, STATUS, HELP)

Measure = Callable[[], float]


class Budgets:
    """Measures the wanted rows. `scale` shrinks the work of each run for a quick look."""

    def __init__(self, rig: Rig, wanted: Iterable[str], runs: int, scale: float) -> None:
        self._rig = rig
        self._wanted = set(wanted)
        self._runs = runs
        self._scale = scale

    def measure(self) -> Iterator[Result]:
        """Row by row, as they are measured."""
        yield from self._several({HELP: lambda: self._rig.dynamo("--help").cpu_s, FIRST: self._first_answer})
        if self._wants(SHORT, BURST, E2E, TTFT, NEW_8K, SAME_8K, STATUS):
            with self._rig.deployment(NO_DELAY) as deployment:
                yield from self._several(self._rows_without_delay(deployment))
        if self._wants(RSS_IDLE, RSS_30K):
            with self._rig.deployment(NO_DELAY) as deployment:
                memory = {RSS_IDLE: lambda: _rss_mb(deployment), RSS_30K: lambda: self._after_30k(deployment)}
                yield from self._several(memory)
        if self._wants(PACED):
            with self._rig.deployment(REAL_TIME) as deployment:
                yield from self._several({PACED: lambda: self._per_100k_tokens(deployment, 62, 256, 8, 48)})

    def _wants(self, *rows: Row) -> bool:
        return any(row.name in self._wanted for row in rows)

    def _several(self, measures: dict[Row, Measure]) -> Iterator[Result]:
        for row, measure in measures.items():
            if self._wants(row):
                yield _result(row, [measure() for _ in range(1 if row.once else self._runs)])

    def _rows_without_delay(self, deployment: Deployment) -> dict[Row, Measure]:
        return {
            STATUS: lambda: self._rig.dynamo("status").cpu_s,
            E2E: lambda: self._one_connection(deployment, stream=False),
            TTFT: lambda: self._one_connection(deployment, stream=True),
            SHORT: lambda: self._short(deployment),
            BURST: lambda: self._per_100k_tokens(deployment, 543, 128, 64, 782),
            NEW_8K: lambda: self._long_prompt(deployment, same=False, requests=50),
            SAME_8K: lambda: self._long_prompt(deployment, same=True, requests=300),
        }

    def _first_answer(self) -> float:
        started = time.perf_counter()
        with self._rig.deployment(NO_DELAY) as deployment:
            deployment.ask(Workload(1, 1, shape=Shape(osl=1), stream=False))
            return time.perf_counter() - started

    def _short(self, deployment: Deployment) -> float:
        count = self._scaled(1_000)
        work = Workload(count, 64, shape=Shape(osl=16), stream=False, warmup=self._scaled(200))
        return _frontend_cpu_s(deployment, 62, work) / count * 1_000

    def _per_100k_tokens(self, deployment: Deployment, isl: int, osl: int, concurrency: int, requests: int) -> float:
        count = self._scaled(requests)
        work = Workload(count, concurrency, shape=Shape(osl=osl), stream=True, warmup=concurrency)
        return _frontend_cpu_s(deployment, isl, work) / (count * osl) * 100_000

    def _one_connection(self, deployment: Deployment, stream: bool) -> float:
        work = Workload(self._scaled(500), 1, shape=Shape(osl=1), stream=stream, warmup=50)
        report = deployment.load(62, work)
        spread = report.ttft_ms if stream else report.e2e_ms
        assert spread is not None
        return spread.p50

    def _long_prompt(self, deployment: Deployment, same: bool, requests: int) -> float:
        count = self._scaled(requests)
        shape = Shape(osl=1, same=same, seed=next(_seeds))
        work = Workload(count, 4, shape=shape, stream=True, warmup=4)
        return _frontend_cpu_s(deployment, 8_000, work) / count * 1_000

    def _after_30k(self, deployment: Deployment) -> float:
        deployment.load(62, Workload(self._scaled(30_000), 64, shape=Shape(osl=16), stream=False))
        return _rss_mb(deployment)

    def _scaled(self, count: int) -> int:
        return max(1, round(count * self._scale))


_seeds = iter(range(10**9))  # a prompt of an earlier run would not be new


def _frontend_cpu_s(deployment: Deployment, prompt_tokens: int, work: Workload) -> float:
    return deployment.load(prompt_tokens, work).processes["frontend"].cpu_s


def _rss_mb(deployment: Deployment) -> float:
    return usage(deployment.frontend_pid).rss_bytes / 1e6


def _result(row: Row, runs: list[float]) -> Result:
    measured = statistics.median(runs)
    ratio = measured / row.budget
    figures = [round(run, 4) for run in runs]
    return Result(
        row.name, row.what, row.unit, row.budget, round(measured, 4), round(ratio, 3), ratio <= TOLERANCE, figures
    )


def main(argv: list[str] | None = None) -> int:
    """Prints a table, or JSON, on stdout and the progress on stderr. 0 also when a budget is not met: it measures."""
    arguments = _parser().parse_args(argv)
    names = [row.name for row in ROWS]
    unknown = set(arguments.rows) - set(names)
    try:
        if unknown:
            raise UsageError(f"there is no row {', '.join(sorted(unknown))}; the rows are {' '.join(names)}")
        results = _measure(arguments)
    except DynamoError as error:
        sys.stderr.write(f"dynamo: {error}\n")
        return error.exit_code
    sys.stdout.write(_as_json(results) if arguments.json else _as_table(results))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure the performance budgets.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="only these rows")
    parser.add_argument("--runs", type=int, default=5, help="runs of each row; the median counts (default 5)")
    parser.add_argument("--quick", action="store_true", help="one short run of each row")
    parser.add_argument("--json", action="store_true", help="print only JSON")
    return parser


def _measure(arguments: argparse.Namespace) -> list[Result]:
    runs, scale = (1, 0.1) if arguments.quick else (max(1, arguments.runs), 1.0)
    wanted = arguments.rows or [row.name for row in ROWS]
    results = []
    with tempfile.TemporaryDirectory(prefix="dyn-", ignore_cleanup_errors=True) as home:
        for result in Budgets(Rig(Path(home)), wanted, runs, scale).measure():
            sys.stderr.write(f"{result.row}: {result.measured:g} {result.unit} (budget {result.budget:g})\n")
            results.append(result)
    return results


def _machine() -> str:
    return f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def _as_json(results: list[Result]) -> str:
    return msgspec.json.encode({"machine": _machine(), "results": results}).decode() + "\n"


def _as_table(results: list[Result]) -> str:
    lines = [f"{_machine()}; medians", "", "| work | budget | measured | ratio | met |", "|---|---|---|---|---|"]
    for r in results:
        met = "yes" if r.met else "no"
        lines.append(f"| {r.what} | {r.budget:g} {r.unit} | {r.measured:.3g} {r.unit} | {r.ratio:.2f} | {met} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
