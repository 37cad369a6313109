"""A deployment's status as people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from dynamo_cli.protocol.instance import HALVES
from dynamo_cli.protocol.measures import WorkerMeasures
from dynamo_cli.runtime.control import DeploymentStatus, ServiceStatus
from dynamo_cli.supervisor.columns import aligned, filled, fitting, widths
from dynamo_cli.supervisor.measuring.words import amount, latency, share, traffic_lines

if TYPE_CHECKING:
    from rich.console import RenderableType

COLUMNS = ("NAME", "KIND", "STATE", "READY", "PID", "UPTIME", "RESTARTS", "PORTS/GPUS", "REASON")
MEASURED = ("CPU", "MEM", "RUN/WAIT", "TOK/S", "TTFT", "HIT", "KV")
ALL = (*COLUMNS[:-2], *MEASURED, *COLUMNS[-2:])
KIND, STATE, READY, PID, UPTIME, RESTARTS = range(1, 7)
CPU, MEMORY, RUNNING, TOKENS, TTFT, HIT, KV, HELD, REASON = range(7, 16)
SPARED = (KV, HIT, TTFT, READY, HELD, TOKENS, RUNNING, MEMORY, CPU, KIND, UPTIME, RESTARTS)
"""What a narrow terminal does without, first to last."""
MEASURES = range(CPU, HELD)
RIGHT = (RESTARTS, *MEASURES)
REASON_ROOM = 20
STEADY_WIDTHS = {STATE: len("STARTING"), PID: len("1234567"), UPTIME: len("12 min")}
STEADY_WIDTHS |= {CPU: len("100%"), MEMORY: len("100 MB"), TOKENS: len("1,234"), TTFT: len("100 ms"), KV: len("10%")}
"""So that the columns stay where they are while processes come and go."""
COLOURS = {
    "READY": "green",
    "STARTING": "yellow",
    "PENDING": "yellow",
    "DRAINING": "yellow",
    "STOPPING": "yellow",
    "BACKOFF": "red",
    "DEGRADED": "red",
    "FAILED": "bold red",
}


def headline(status: DeploymentStatus) -> str:
    """`agg READY http://127.0.0.1:8000 up 12 s`, with the reason where there is one."""
    parts = [status.deployment, status.state, status.url, f"up {uptime(status.uptime_s)}" if status.uptime_s else ""]
    line = "  ".join(part for part in parts if part)
    return f"{line}  ({status.reason})" if status.reason else line


def rows(status: DeploymentStatus) -> list[tuple[str, ...]]:
    return [_row(service) for service in status.services]


def plain(status: DeploymentStatus, width: int = 80) -> str:
    """Aligned columns for a file, a pipe or a small terminal. Measures are there as far as there is room."""
    lines = [ALL, *rows(status)]
    sizes, told = widths(lines), filled(lines)
    chosen = [at for at in range(len(ALL)) if at not in MEASURES or at in told]
    chosen, _ = fitting(chosen, sizes, [at for at in SPARED if at in MEASURES], width)
    notes = ["", *said] if (said := _notes(status)) else []
    return "\n".join([headline(status), *traffic_lines(status.traffic), "", *aligned(lines, chosen, sizes), *notes])


def rich_table(status: DeploymentStatus, width: int, *, one_line: bool = False) -> RenderableType:
    """The same with colours, without the columns `width` has no room for; `one_line` cuts what would be folded."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    lines = rows(status)
    chosen, room = _chosen(lines, width)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for i in chosen:
        justify: Literal["left", "right"] = "right" if i in RIGHT else "left"
        least = STEADY_WIDTHS.get(i)
        table.add_column(ALL[i], no_wrap=i != REASON, overflow="fold", min_width=least, justify=justify)
    for line in lines:
        cells = [Text(line[i], style=COLOURS.get(line[i], "") if i == STATE else "") for i in chosen]
        if one_line:
            cells[-1].truncate(room, overflow="ellipsis")
        table.add_row(*cells)
    head = Text(headline(status), style=COLOURS.get(status.state, ""), no_wrap=one_line, overflow="ellipsis")
    numbers = [Text(line, no_wrap=one_line, overflow="ellipsis") for line in traffic_lines(status.traffic)]
    notes = [Text(note, style="yellow", no_wrap=one_line, overflow="ellipsis") for note in _notes(status)]
    return Group(head, *numbers, table, *notes)


def evidence(status: DeploymentStatus) -> list[str]:
    """Where to read of the last failure of each service."""
    return [f"{service.name}: evidence in {service.evidence}" for service in status.services if service.evidence]


def _chosen(lines: list[tuple[str, ...]], width: int) -> tuple[list[int], int]:
    """The columns that leave the reasons some room in a terminal of this width, and how much room that is."""
    whole = [ALL, *lines]
    told = filled(whole)
    chosen = [at for at in range(REASON) if (at not in MEASURES and at != HELD) or at in told]
    kept, room = fitting(chosen, widths(whole, STEADY_WIDTHS), SPARED, width, REASON_ROOM)
    return [*kept, REASON], max(room, len(ALL[REASON]))


def uptime(seconds: float) -> str:
    """`12 s`, `3 min`, `2 h 5 min`, `4 d 3 h`."""
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{int(seconds)} s"


def _notes(status: DeploymentStatus) -> list[str]:
    """What is wrong, and which orders are being carried out."""
    return [
        *status.notes,
        *evidence(status),
        *(f"{change.what}: under way" for change in status.changes if not change.done),
    ]


def _row(service: ServiceStatus) -> tuple[str, ...]:
    held = [f"{name}={port}" for name, port in service.ports.items()] + [gpu[:12] for gpu in service.gpus]
    return (
        service.name,
        kind_of(service),
        service.state,
        "yes" if service.ready else "done" if service.done else "no",
        str(service.pid or "-"),
        uptime(service.uptime_s) if service.pid else "-",
        str(service.restarts),
        *_measures(service),
        " ".join(held) or "-",
        _reason(service),
    )


def _measures(service: ServiceStatus) -> tuple[str, ...]:
    use, serving = service.use, service.serving or WorkerMeasures()
    running = "-" if serving.running is None else f"{serving.running}/{serving.waiting or 0}"
    return (
        share(use.cpu) if use else "-",
        amount(use.memory, "B") if use else "-",
        running,
        amount(serving.output_tokens_s),
        latency(serving.ttft_p50_s),
        share(serving.hit),
        share(serving.kv_usage),
    )


def kind_of(service: ServiceStatus) -> str:
    """The engine, and which half of its work a worker does."""
    kind = service.engine or service.kind
    return f"{kind} {service.role}" if service.role in HALVES else kind


def _reason(service: ServiceStatus) -> str:
    """While it loads with the time the phase has taken: whether it hangs is what people ask."""
    reason = service.reason
    if service.phase and service.phase_s >= 1:
        reason = f"{reason}, {uptime(service.phase_s)}"
    if not service.replaces:
        return reason
    return f"takes over from {service.replaces}{f': {reason}' if reason else ''}"
