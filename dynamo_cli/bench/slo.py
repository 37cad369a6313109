"""A service level objective: what a request, and a load level, must keep to. docs/bench.md has the rules."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.errors import UsageError

if TYPE_CHECKING:
    from dynamo_cli.bench.report.model import Report, Spread

METRICS = ("ttft", "itl", "tpot", "e2e")
STATISTICS = {"mean": "mean", "p50": "p50", "p90": "p90", "p95": "p95", "p99": "p99", "p99.9": "p999", "max": "max"}
DEFAULT_ATTAIN = 0.99
EXAMPLE = "expected such as ttft=200ms,itl=20ms"

_TIME = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|s)")
_PERCENT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)%")


class Limit(NamedTuple):
    """`statistic`: of the whole level, a key of STATISTICS; empty for a limit on each request."""

    metric: str
    ms: float
    statistic: str = ""

    def __str__(self) -> str:
        return f"{self.statistic}{'.' if self.statistic else ''}{self.metric}={_time_text(self.ms)}"


class Slo(NamedTuple):
    """`attain`: the share of requests that must be complete and within every limit on each request."""

    limits: tuple[Limit, ...]
    attain: float = DEFAULT_ATTAIN

    def __str__(self) -> str:
        attain = () if self.attain == DEFAULT_ATTAIN else (f"attain={self.attain * 100:g}%",)
        return ",".join((*map(str, self.limits), *attain))

    def met_by(self, record: RequestRecord) -> bool:
        """Whether the request was complete and within every limit on each request."""
        return record.ok and all(_within(limit, record) for limit in self._per_request)

    def shares(self, records: Iterable[RequestRecord]) -> dict[str, float]:
        """For each limit on each request, the share of requests that were complete and within it."""
        asked = list(records)
        return {str(limit): round(_share(limit, asked), 4) for limit in self._per_request}

    def misses(self, report: Report) -> list[str]:
        """Why this level misses the SLO, one line each; empty when it meets it. ValueError for a report without it."""
        if report.goodput is None or report.goodput.slo != str(self):
            raise ValueError("the report was not made with this SLO")
        return report.goodput.misses

    def reasons(self, share: float, by_limit: Mapping[str, float], spreads: Mapping[str, Spread | None]) -> list[str]:
        """The lines of `misses`, from a level's figures."""
        found = []
        if share < self.attain:
            parts = [f"{name} by {_percent(part)}" for name, part in by_limit.items() if part < self.attain]
            of = f" ({', '.join(parts)})" if parts and len(by_limit) > 1 else ""
            found.append(f"{_percent(share)} of the requests meet it{of}, {_percent(self.attain)} must")
        for limit in self.limits:
            if limit.statistic:
                found += _statistic_missed(limit, spreads[f"{limit.metric}_ms"])
        return found

    @property
    def _per_request(self) -> list[Limit]:
        return [limit for limit in self.limits if not limit.statistic]


def parse_slo(text: str) -> Slo:
    """`ttft=200ms,itl=20ms,p99.e2e=2s,attain=95%`. Raises UsageError, which names the item."""
    limits: list[Limit] = []
    attain = DEFAULT_ATTAIN
    seen = set()
    for item in text.split(","):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise UsageError(f"--slo {item.strip() or text!r}: {EXAMPLE}")
        if key in seen:
            raise UsageError(f"--slo {key}: given twice")
        seen.add(key)
        if key == "attain":
            attain = _parse_percent(value)
        else:
            limits.append(_parse_limit(key, value))
    if not limits:
        raise UsageError(f"--slo {text}: has no limit; {EXAMPLE}")
    return Slo(tuple(limits), attain)


def _parse_limit(key: str, value: str) -> Limit:
    statistic, _, metric = key.rpartition(".")
    if metric not in METRICS:
        close = difflib.get_close_matches(metric, (*METRICS, "attain"), 1)
        hint = f"; did you mean {close[0]}" if close else ""
        raise UsageError(f"--slo {key}: the metrics are {' '.join(METRICS)}{hint}")
    if statistic and statistic not in STATISTICS:
        raise UsageError(f"--slo {key}: {statistic} is none of {' '.join(STATISTICS)}")
    match = _TIME.fullmatch(value)
    if match is None or not float(match[1]):
        raise UsageError(f"--slo {key}={value}: expected a time above 0 such as 200ms or 1.5s")
    return Limit(metric, float(match[1]) * (1e3 if match[2] == "s" else 1.0), statistic)


def _parse_percent(value: str) -> float:
    match = _PERCENT.fullmatch(value)
    if match is None or not 0 < float(match[1]) <= 100:
        raise UsageError(f"--slo attain={value}: expected a share of the requests such as 95%")
    return float(match[1]) / 100


def _within(limit: Limit, record: RequestRecord) -> bool:
    """A request of one token has no gaps and no TPOT: nothing of it can be too slow."""
    if limit.metric == "e2e":
        return record.e2e_ms <= limit.ms
    if record.ttft_ms is None:
        return False
    if limit.metric == "ttft":
        return record.ttft_ms <= limit.ms
    if limit.metric == "tpot":
        return record.tpot_ms is None or record.tpot_ms <= limit.ms
    gaps = record.itl_ms
    return not gaps or math.fsum(gaps) / len(gaps) <= limit.ms


def _share(limit: Limit, asked: list[RequestRecord]) -> float:
    return sum(record.ok and _within(limit, record) for record in asked) / max(1, len(asked))


def _statistic_missed(limit: Limit, spread: Spread | None) -> list[str]:
    name = f"{limit.statistic} {limit.metric.upper()}"
    if spread is None:
        return [f"{name} was not measured, {_time_text(limit.ms)} is asked"]
    value = float(getattr(spread, STATISTICS[limit.statistic]))
    return [f"{name} is {value:.4g} ms, at most {_time_text(limit.ms)} is asked"] if value > limit.ms else []


def _time_text(ms: float) -> str:
    return f"{ms / 1e3:g}s" if ms >= 1e3 else f"{ms:g}ms"


def _percent(share: float) -> str:
    return f"{math.floor(share * 1e4) / 1e2:g} %"
