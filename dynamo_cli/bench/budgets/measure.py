"""Row by row, side by side: the runs of two sides take turns, so that both meet the same machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import msgspec

from dynamo_cli.bench.budgets.floor import paced_floor_cpu_s
from dynamo_cli.bench.budgets.reference import Reference
from dynamo_cli.bench.budgets.result import Result
from dynamo_cli.bench.budgets.rig import Rig
from dynamo_cli.bench.budgets.rows import (
    BURST,
    E2E,
    FIRST,
    HELP,
    NEW_8K,
    PACED,
    RSS_30K,
    RSS_IDLE,
    SAME_8K,
    SHORT,
    STATUS,
    TTFT,
    Row,
)
from dynamo_cli.bench.budgets.served import Served, Side
from dynamo_cli.bench.work.synthetic import Shape
from dynamo_cli.bench.workload import Workload

Measure = Callable[[], float]
OfServer = Callable[[Served], float]


class Budgets:
    """Measures the wanted rows. `scale` shrinks the work of each run for a quick look."""

    def __init__(
        self, rig: Rig, wanted: Iterable[str], runs: int, scale: float, reference: Reference | None = None
    ) -> None:
        self._rig = rig
        self._sides: list[Side] = [rig] if reference is None else [rig, reference]
        self._wanted = set(wanted)
        self._runs = runs
        self._scale = scale

    def measure(self) -> Iterator[Result]:
        """Row by row, as they are measured."""
        yield from self._row(HELP, [lambda: self._rig.dynamo("--help").cpu_s])
        yield from self._row(FIRST, [partial(_first_answer, side) for side in self._sides])
        yield from self._rows_of_servers(
            {
                E2E: lambda served: self._one_connection(served, stream=False),
                TTFT: lambda served: self._one_connection(served, stream=True),
                SHORT: self._short,
                BURST: lambda served: self._per_100k_tokens(served, 543, 128, 64, 782),
                NEW_8K: lambda served: self._long_prompt(served, same=False, requests=50),
                SAME_8K: lambda served: self._long_prompt(served, same=True, requests=300),
            },
            delay=False,
        )
        yield from self._rows_of_servers(
            {RSS_IDLE: lambda served: served.frontend_rss_mb, RSS_30K: self._after_30k}, delay=False
        )
        paced = {PACED: lambda served: self._per_100k_tokens(served, 62, 256, 8, 48)}
        for result in self._rows_of_servers(paced, delay=True):
            yield msgspec.structs.replace(result, floor=round(paced_floor_cpu_s(self._scaled(48) * 256 // 8), 4))
        if STATUS.name in self._wanted:
            with self._rig.serve(delay=False):
                yield from self._row(STATUS, [lambda: self._rig.dynamo("status").cpu_s])

    def _rows_of_servers(self, measures: dict[Row, OfServer], *, delay: bool) -> Iterator[Result]:
        if not any(row.name in self._wanted for row in measures):
            return
        with self._all_serving(delay=delay) as servers:
            for row, measure in measures.items():
                yield from self._row(row, [partial(measure, served) for served in servers])

    def _row(self, row: Row, of_sides: Sequence[Measure]) -> Iterator[Result]:
        if row.name in self._wanted:
            turns = [[measure() for measure in of_sides] for _ in range(1 if row.once else self._runs)]
            yield _result(row, list(zip(*turns, strict=True)))

    @contextmanager
    def _all_serving(self, *, delay: bool) -> Iterator[list[Served]]:
        with ExitStack() as stack:
            yield [stack.enter_context(side.serve(delay=delay)) for side in self._sides]

    def _short(self, served: Served) -> float:
        count = self._scaled(1_000)
        work = Workload(count, 64, shape=Shape(osl=16), stream=False, warmup=self._scaled(200))
        return _frontend_cpu_s(served, 62, work) / count * 1_000

    def _per_100k_tokens(self, served: Served, isl: int, osl: int, concurrency: int, requests: int) -> float:
        count = self._scaled(requests)
        work = Workload(count, concurrency, shape=Shape(osl=osl), stream=True, warmup=concurrency)
        return _frontend_cpu_s(served, isl, work) / (count * osl) * 100_000

    def _one_connection(self, served: Served, stream: bool) -> float:
        work = Workload(self._scaled(500), 1, shape=Shape(osl=1), stream=stream, warmup=50)
        report = served.load(62, work)
        spread = report.ttft_ms if stream else report.e2e_ms
        assert spread is not None
        return spread.p50

    def _long_prompt(self, served: Served, same: bool, requests: int) -> float:
        count = self._scaled(requests)
        shape = Shape(osl=1, same=same, seed=next(_seeds))
        work = Workload(count, 4, shape=shape, stream=True, warmup=4)
        return _frontend_cpu_s(served, 8_000, work) / count * 1_000

    def _after_30k(self, served: Served) -> float:
        served.load(62, Workload(self._scaled(30_000), 64, shape=Shape(osl=16), stream=False))
        return served.frontend_rss_mb

    def _scaled(self, count: int) -> int:
        return max(1, round(count * self._scale))


_seeds = iter(range(10**9))  # a prompt of an earlier run would not be new


def _first_answer(side: Side) -> float:
    started = time.perf_counter()
    with side.serve(delay=False) as served:
        served.ask(Workload(1, 1, shape=Shape(osl=1), stream=False))
        return time.perf_counter() - started


def _frontend_cpu_s(served: Served, prompt_tokens: int, work: Workload) -> float:
    return served.load(prompt_tokens, work).processes["frontend"].cpu_s


def _result(row: Row, runs: Sequence[Sequence[float]]) -> Result:
    medians = [statistics.median(each) for each in runs]
    rounded = [[round(run, 4) for run in each] for each in runs]
    return Result(
        row=row.name,
        what=row.what,
        unit=row.unit,
        budget=row.budget,
        measured=round(medians[0], 4),
        runs=rounded[0],
        reference=round(medians[1], 4) if len(runs) > 1 else None,
        reference_runs=rounded[1] if len(runs) > 1 else [],
    )
