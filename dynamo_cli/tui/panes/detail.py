"""Everything that is known of one service. Pure."""

from __future__ import annotations

import shlex
import textwrap
import time
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from textual.content import Content

from dynamo_cli.protocol.detail import ProbeResult, ServiceDetail
from dynamo_cli.protocol.instance import HALVES
from dynamo_cli.runtime.control import ServiceStatus
from dynamo_cli.supervisor.measuring.words import NOTHING, amount, latency, share
from dynamo_cli.supervisor.table import uptime
from dynamo_cli.tui.figures import percent, rate
from dynamo_cli.tui.look import ACCENT, BAD, BUSY, GOOD, QUIET, mark
from dynamo_cli.tui.panes.cells import Cell, row

LABEL = 13


class Fact(NamedTuple):
    """A label and words, folded beside it; without words a heading."""

    label: str
    words: str = ""
    style: str = ""


def detail_lines(service: ServiceStatus, detail: ServiceDetail | None, gpus: str, width: int) -> list[Content]:
    """Lines of at most `width` cells. `detail`: None while it is not known; `gpus`: the numbers of those it has."""
    symbol, style = mark(service.state)
    lines = [row([Cell(service.name, "bold"), Cell(f"  {symbol} {service.state}", style)], width)]
    for fact in _of_status(service, gpus):
        lines += _folded(fact, width)
    if detail is None:
        return lines
    for fact in _of_start(detail):
        lines += _folded(fact, width)
    lines += _probe_lines(detail.probes, width)
    for fact in (*_variables("environment", detail.env), *_variables("inherited", detail.inherited)):
        lines += _folded(fact, width)
    return lines


def command(detail: ServiceDetail) -> str:
    """One shell line."""
    return shlex.join(detail.argv)


def _of_status(service: ServiceStatus, gpus: str) -> Iterator[Fact]:
    bad = BAD if service.state in ("FAILED", "BACKOFF", "DEGRADED") else ""
    yield Fact("reason", service.reason, bad)
    yield Fact("hint", service.hint, ACCENT)
    yield Fact("last exit", service.last_exit)
    yield Fact("evidence", service.evidence)
    yield Fact("what", _what(service))
    yield Fact("process", _process(service))
    yield Fact("uses", _uses(service))
    yield Fact("serves", _serves(service))
    yield Fact("GPUs", gpus or ", ".join(service.gpus))
    yield Fact("ports", ", ".join(f"{name} {port}" for name, port in service.ports.items()))
    yield Fact("start", ", ".join(f"{phase} {spent:.1f} s" for phase, spent in service.phases.items()))


def _of_start(detail: ServiceDetail) -> Iterator[Fact]:
    yield Fact("command", command(detail))
    yield Fact("directory", detail.cwd)
    yield Fact("log", detail.log)


def _variables(title: str, variables: Mapping[str, str]) -> Iterator[Fact]:
    for number, (name, value) in enumerate(sorted(variables.items())):
        yield Fact("" if number else title, f"{name}={value}")


def _what(service: ServiceStatus) -> str:
    model = f"model {service.model}" if service.model else ""
    place = f"replica {service.replica} of {service.pool}" if service.pool else ""
    half = service.role if service.role in HALVES else ""
    return ", ".join(filter(None, (service.kind, service.engine, half, model, place)))


def _process(service: ServiceStatus) -> str:
    restarts = f"{service.restarts} {'restart' if service.restarts == 1 else 'restarts'}"
    if service.pid is None:
        return f"none, {restarts}"
    return f"pid {service.pid}, up {uptime(service.uptime_s)}, {restarts}"


def _uses(service: ServiceStatus) -> str:
    use = service.use
    return f"{share(use.cpu)} of a core, {amount(use.memory, 'B')} of memory" if use else ""


def _serves(service: ServiceStatus) -> str:
    of = service.serving
    if of is None:
        return ""
    counts = ((of.running, "running"), (of.waiting, "waiting"))
    said = [f"{count} {what}" for count, what in counts if count is not None]
    shares = ((of.kv_usage, "KV"), (of.hit, "hit"))
    said += [f"{what} {percent(share)} %" for share, what in shares if share is not None]
    rates = ((of.requests_s, "requests/s"), (of.prompt_tokens_s, "prompt tokens/s"), (of.output_tokens_s, "tokens/s"))
    said += [f"{rate(value)} {what}" for value, what in rates if value is not None]
    return ", ".join([*said, *([f"TTFT {latency(of.ttft_p50_s)}"] if of.ttft_p50_s is not None else [])])


def _folded(fact: Fact, width: int) -> list[Content]:
    """Nothing without words."""
    if not fact.words:
        return []
    folded = textwrap.wrap(fact.words, max(10, width - LABEL), break_on_hyphens=False)
    labels = [fact.label, *[""] * (len(folded) - 1)]
    return [
        Content.assemble((label.ljust(LABEL), QUIET), (line, fact.style))
        for label, line in zip(labels, folded, strict=True)
    ]


def _probe_lines(probes: list[ProbeResult], width: int) -> Iterator[Content]:
    """The latest first; those that found the same one after another are one line."""
    label = "probes"
    for found in _alike(probes):
        probe = found[0]
        clock = time.strftime("%H:%M:%S", time.localtime(probe.time))
        outcome = Cell("ok", GOOD) if probe.passed else Cell(probe.reason or "no", BUSY)
        slowest = max(one.took_ms for one in found)
        times = f"  ×{len(found)}, the slowest {_milliseconds(slowest)}" if found[1:] else ""
        yield row(
            [
                Cell(label.ljust(LABEL), QUIET),
                Cell(f"{clock}  {probe.kind:<8} {_milliseconds(probe.took_ms):>8}  "),
                outcome,
                Cell(times, QUIET),
            ],
            width,
        )
        label = ""
    if not probes:
        yield row([Cell(label.ljust(LABEL), QUIET), Cell(NOTHING)], width)


def _alike(probes: list[ProbeResult]) -> Iterator[list[ProbeResult]]:
    for _, found in groupby(reversed(probes), key=attrgetter("kind", "passed", "reason")):
        yield list(found)


def _milliseconds(value: float) -> str:
    return f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"
