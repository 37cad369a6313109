"""From options to a workload: everything that can be checked before the server is asked."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from dynamo_cli.bench.cpu import parse_pids
from dynamo_cli.bench.options import AUTO, Options
from dynamo_cli.bench.slo import Slo, parse_slo
from dynamo_cli.bench.work.synthetic import Shape
from dynamo_cli.bench.work.trace import Trace
from dynamo_cli.bench.workload import Workload
from dynamo_cli.errors import UsageError

_OWN_HEADERS = ("content-length", "transfer-encoding", "connection")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def workload(options: Options) -> Workload:
    """Of completed options. Raises UsageError."""
    trace = _trace(options)
    return Workload(
        requests=_trace_requests(options, trace) if trace else options.requests,
        concurrency=options.concurrency or Workload.concurrency,
        rate=options.rate,
        arrivals=options.arrivals or Workload.arrivals,
        burstiness=options.burstiness or Workload.burstiness,
        max_concurrency=options.max_concurrency,
        ramp_s=options.ramp,
        duration_s=options.duration,
        warmup=options.warmup,
        timeout_s=options.timeout,
        think_s=options.think_time or 0.0,
        cancel_rate=options.cancel_rate,
        shape=_shape(options),
        trace=trace,
        stream=options.stream,
        ignore_eos=options.ignore_eos,
        extra=_extra(options.extra_body),
        headers=headers(options),
        pids=parse_pids(options.pid),
    )


def headers(options: Options) -> dict[str, str]:
    """Those of every request, with names in lower case. Raises UsageError."""
    fields = {"authorization": f"Bearer {options.api_key}"} if options.api_key else {}
    for header in options.header:
        name, colon, value = (part.strip() for part in header.partition(":"))
        name = name.lower()
        if not colon or not _TOKEN.fullmatch(name):
            raise UsageError(f"--header {header}: expected NAME:VALUE")
        if name in _OWN_HEADERS:
            raise UsageError(f"--header {name}: follows from the request itself")
        fields[name] = value
    for name, value in fields.items():
        if not (value.isascii() and value.isprintable()):
            raise UsageError(f"the value of the header {name} has characters that HTTP does not allow")
    return fields


def objective(options: Options) -> Slo | None:
    """Raises UsageError."""
    slo = parse_slo(options.slo) if options.slo else None
    if slo is not None and not options.stream:
        timed = [limit.metric for limit in slo.limits if limit.metric != "e2e"]
        if timed:
            raise UsageError(f"--slo {timed[0]} needs streamed answers: drop --no-stream")
    return slo


def concurrencies(text: str) -> list[int]:
    """`1,2,4`. Raises UsageError."""
    values = [int(item) if item.isdecimal() else 0 for item in _items(text)]
    if not all(values):
        raise UsageError(f"--sweep {text}: expected concurrencies such as 1,2,4,8, or {AUTO}")
    return _different("--sweep", text, values)


def rates(text: str) -> list[float]:
    """`0.5,1,2`, per second. Raises UsageError."""
    if text == AUTO:
        raise UsageError("--sweep-rate auto: --find-max-rate searches the highest rate that meets an --slo")
    try:
        values = [float(item) for item in _items(text)]
    except ValueError:
        values = [0.0]
    if not all(0 < value < float("inf") for value in values):
        raise UsageError(f"--sweep-rate {text}: expected requests per second such as 0.5,1,2")
    return _different("--sweep-rate", text, values)


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")]


def _different(flag: str, text: str, values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise UsageError(f"{flag} {text}: a level is given twice")
    return values


def _shape(options: Options) -> Shape:
    return Shape(
        isl=options.isl or Shape.isl,
        isl_stddev=options.isl_stddev,
        osl=options.osl or Shape.osl,
        osl_stddev=options.osl_stddev,
        same=options.same_prompt,
        prefix=options.shared_prefix or 0,
        groups=options.groups or 1,
        turns=options.turns or 1,
        seed=options.seed,
    )


def _trace(options: Options) -> Trace | None:
    if options.trace is None:
        return None
    return Trace(options.trace, options.speed or 1.0, options.trace_start, options.trace_end, options.seed)


def _trace_requests(options: Options, trace: Trace) -> int:
    count = trace.count()
    if not count:
        where = " in this window" if _windowed(options) else ""
        raise UsageError("; ".join([f"--trace {options.trace}: has no request{where}", *trace.notes]))
    return min(count, options.requests or count)


def _windowed(options: Options) -> bool:
    return options.trace_start is not None or options.trace_end is not None


def _extra(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise UsageError(f"--extra-body: expected a JSON object: {error}") from None
