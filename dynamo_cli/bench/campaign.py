"""All load levels of a run, measured one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from dynamo_cli.bench.load.log import Watch
from dynamo_cli.bench.progress import Progress
from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.bench.report import Point, Report, make_report
from dynamo_cli.bench.run import run_level
from dynamo_cli.bench.search import START_RATE, Probe, bracket, next_concurrency, next_rate
from dynamo_cli.bench.slo import Slo
from dynamo_cli.bench.target import Address
from dynamo_cli.bench.workload import Workload

HOPELESS = 2.0
"""A probe ends early when this many times the misses that its SLO allows have happened."""


@dataclass
class Campaign:
    """`points` and `records` (by a point's label) grow with every level. `found`, `remarks`: see Summary."""

    address: Address
    model: str
    work: Workload
    slo: Slo | None = None
    points: list[Point] = field(default_factory=list)
    records: dict[str, list[RequestRecord]] = field(default_factory=dict)
    found: str | None = None
    remarks: list[str] = field(default_factory=list)
    _conversations: int = 0

    def one(self) -> None:
        """The workload as it is."""
        work = self.work
        label = "trace" if work.trace else _rate_label(work.rate) if work.rate else f"c={work.concurrency}"
        self._measure(label, work)

    def concurrencies(self, levels: Iterable[int]) -> None:
        for level in levels:
            self._at_concurrency(level)

    def rates(self, levels: Iterable[float]) -> None:
        for level in levels:
            self._at_rate(level)

    def knee(self) -> None:
        """Concurrencies doubled until throughput stops rising."""
        tried: list[tuple[int, float]] = []
        while (level := next_concurrency(tried)) is not None:
            tried.append((level, self._at_concurrency(level).output_tokens_per_s))

    def max_rate(self, slo: Slo, start: float | None) -> None:
        """The highest rate that meets `slo`."""
        tried: list[Probe] = []
        try:
            while (rate := next_rate(tried, start or START_RATE)) is not None:
                report = self._at_rate(rate, lambda work: _hopeless(slo, work))
                tried.append(Probe(rate, not slo.misses(report), report.peak_concurrency <= 1))
                if report.client_limited:
                    self.remarks.append("The search ended because this client was the limit.")
                    break
        finally:
            self._conclude(tried)

    def _conclude(self, tried: Sequence[Probe]) -> None:
        met, missed = bracket(tried)
        if met:
            self.found = _rate_label(met)
        if tried:
            self.remarks.insert(0, _outcome(met, missed))

    def _at_concurrency(self, level: int) -> Report:
        return self._measure(f"c={level}", replace(self.work, concurrency=level, rate=None))

    def _at_rate(self, level: float, watch: Callable[[Workload], Watch] | None = None) -> Report:
        work = replace(self.work, rate=level)
        return self._measure(_rate_label(level), work, watch(work) if watch else None)

    def _measure(self, label: str, work: Workload, watch: Watch | None = None) -> Report:
        """KeyboardInterrupt after SIGINT; what was measured until then is kept."""
        progress = Progress(label)
        level = run_level(self.address, self.model, work, first=self._conversations, watch=watch, progress=progress)
        if level.interrupted and not level.records:
            raise KeyboardInterrupt
        self._conversations = max((r.session + 1 for r in level.records), default=self._conversations)
        report = make_report(level.run, level.records, self.slo)
        concurrency = None if work.is_open else work.concurrency
        self.points.append(Point(label=label, report=report, concurrency=concurrency, rate=work.rate))
        self.records[label] = level.records
        if level.interrupted:
            raise KeyboardInterrupt
        return report


def _rate_label(rate: float) -> str:
    return f"rate={rate:g}"


def _hopeless(slo: Slo, work: Workload) -> Watch:
    """Whether a probe has missed so much already that the rest of it cannot change that."""
    expected = work.requests or math.inf
    if work.rate and work.duration_s:
        expected = min(expected, work.rate * work.duration_s)
    allowed = HOPELESS * (1 - slo.attain) * expected + 1
    misses = 0

    def watch(record: RequestRecord) -> bool:
        nonlocal misses
        misses += not record.cancelled and not slo.met_by(record)
        return misses > allowed

    return watch


def _outcome(met: float, missed: float) -> str:
    if not met:
        return f"No rate meets the SLO: {missed:g} req/s, the lowest tried, misses it."
    beyond = "; no rate that misses it was found" if math.isinf(missed) else f"; {missed:g} req/s misses it"
    return f"The highest rate that meets the SLO is {met:g} req/s{beyond}."
