"""The columns of the table of services, and which of them a terminal has room for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from textual.content import Content

from dynamo_cli.protocol.instance import HALVES
from dynamo_cli.runtime.control import DeploymentStatus, ServiceStatus
from dynamo_cli.supervisor.measuring.words import NOTHING, amount, latency, share
from dynamo_cli.supervisor.table import uptime
from dynamo_cli.tui.figures import bar, percent, rate
from dynamo_cli.tui.look import ACCENT, BAD, BUSY, GOOD, QUIET, RULE, mark
from dynamo_cli.tui.panes.cells import GAP, Cell, cut, fit

REASON_ROOM = 32
"""Cells that the reasons of services which are not well need at least."""
BAR_WIDTH = 10
SHORTEST_REASON = 8
ALWAYS = 99


class Column(NamedTuple):
    """`width`: the least, so that columns stay where they are. `spared`: the lower, the sooner it is done without."""

    title: str
    cell: Callable[[ServiceStatus, Mapping[str, str]], Cell]
    width: int
    spared: int
    right: bool = False


def _name(service: ServiceStatus, gpus: Mapping[str, str]) -> Cell:
    return Cell(service.name)


def _state(service: ServiceStatus, gpus: Mapping[str, str]) -> Cell:
    return Cell(service.state, mark(service.state).style)


def _kind(service: ServiceStatus, gpus: Mapping[str, str]) -> Cell:
    """The engine, and which half of its work a worker does."""
    kind = service.engine or service.kind
    return Cell(f"{kind} {service.role}" if service.role in HALVES else kind, QUIET)


def _health(service: ServiceStatus, gpus: Mapping[str, str]) -> Cell:
    """What its probe finds now."""
    if service.ready:
        return Cell("ok", GOOD)
    if service.done:
        return Cell("done", QUIET)
    if service.state == "DEGRADED":
        return Cell("failing", BAD)
    return Cell("not yet", BUSY) if service.pid else Cell(NOTHING, QUIET)


def _gpu(service: ServiceStatus, gpus: Mapping[str, str]) -> Cell:
    return _known(gpus.get(service.name) or ",".join(uuid[:8] for uuid in service.gpus) or NOTHING)


def _pid(service: ServiceStatus, gpus: Mapping[str, str]) -> Cell:
    return Cell(str(service.pid or NOTHING), QUIET)


def _uptime(service: ServiceStatus, gpus: Mapping[str, str]) -> Cell:
    return _known(uptime(service.uptime_s) if service.pid else NOTHING)


def _restarts(service: ServiceStatus, gpus: Mapping[str, str]) -> Cell:
    return Cell(str(service.restarts), BUSY if service.restarts else QUIET)


def _cpu(service: ServiceStatus, gpus: Mapping[str, str]) -> Cell:
    return _known(share(service.use.cpu if service.use else None))


def _memory(service: ServiceStatus, gpus: Mapping[str, str]) -> Cell:
    held = service.use.memory if service.use else service.memory
    return _known(amount(held, "B") if held else NOTHING)


def _requests(service: ServiceStatus, gpus: Mapping[str, str]) -> Cell:
    serving = service.serving
    if serving is None or (serving.running is None and serving.waiting is None):
        return _known(NOTHING)
    running, waiting = (NOTHING if n is None else str(n) for n in (serving.running, serving.waiting))
    return Cell(f"{running}/{waiting}", BUSY if serving.waiting else "")


def _kv(service: ServiceStatus, gpus: Mapping[str, str]) -> Cell:
    share = service.serving.kv_usage if service.serving else None
    return Cell(percent(share), BUSY if (share or 0) >= 0.9 else "" if share is not None else QUIET)


def _hit(service: ServiceStatus, gpus: Mapping[str, str]) -> Cell:
    return _known(percent(service.serving.hit if service.serving else None))


def _tokens(service: ServiceStatus, gpus: Mapping[str, str]) -> Cell:
    return _known(rate(service.serving.output_tokens_s if service.serving else None))


def _ttft(service: ServiceStatus, gpus: Mapping[str, str]) -> Cell:
    return _known(latency(service.serving.ttft_p50_s if service.serving else None))


def _known(text: str) -> Cell:
    return Cell(text, QUIET if text == NOTHING else "")


COLUMNS = (
    Column("SERVICE", _name, 8, ALWAYS),
    Column("STATE", _state, 8, ALWAYS),
    Column("KIND", _kind, 4, 2),
    Column("HEALTH", _health, 7, 1),
    Column("GPU", _gpu, 3, 7),
    Column("PID", _pid, 7, 3),
    Column("UP", _uptime, 6, 5, right=True),
    Column("RST", _restarts, 3, 4, right=True),
    Column("CPU", _cpu, 4, 6, right=True),
    Column("MEM", _memory, 7, 8, right=True),
    Column("RUN/Q", _requests, 5, 13, right=True),
    Column("KV%", _kv, 3, 11, right=True),
    Column("HIT%", _hit, 4, 9, right=True),
    Column("TOK/S", _tokens, 5, 12, right=True),
    Column("TTFT", _ttft, 6, 10, right=True),
)


class Table(NamedTuple):
    head: Content
    rows: list[Content]


def table(status: DeploymentStatus, width: int) -> Table:
    """The services in `width` cells: what there is no room for is left out, what nobody knows first."""
    gpus = gpu_numbers(status)
    services = status.services
    lines = [[column.cell(service, gpus) for column in COLUMNS] for service in services]
    widths = [max([column.width, *(cell_len(line[i].text) for line in lines)]) for i, column in enumerate(COLUMNS)]
    chosen, room = _fitting(lines, widths, width - 2, REASON_ROOM if any(map(_unwell, services)) else 0)
    heads = [fit(COLUMNS[i].title, widths[i], COLUMNS[i].right) for i in chosen]
    told = room >= SHORTEST_REASON and any(service.reason or service.replaces for service in services)
    head = "  " + GAP.join([*heads, "REASON"] if told else heads)
    return Table(
        Content.styled(cut(head, width), QUIET),
        [_line(service, line, chosen, widths, room) for service, line in zip(services, lines, strict=True)],
    )


def gpu_numbers(status: DeploymentStatus) -> dict[str, str]:
    """`0,1` by service."""
    numbers: dict[str, list[str]] = {}
    for gpu in status.measured_gpus:
        for service in gpu.services:
            numbers.setdefault(service, []).append(str(gpu.index))
    return {service: ",".join(indices) for service, indices in numbers.items()}


def reason(service: ServiceStatus, width: int) -> list[Cell]:
    """Why it is in its state; while it loads how far it is, and for how long it has been at that."""
    if service.replaces:
        words = f"takes over from {service.replaces}"
        return [Cell(cut(f"{words}: {service.reason}" if service.reason else words, width), QUIET)]
    if not service.phase:
        return [Cell(cut(service.reason, width), BAD if service.state in ("FAILED", "BACKOFF", "DEGRADED") else QUIET)]
    lasted = f", {uptime(service.phase_s)}" if service.phase_s >= 1 else ""
    words = f"{service.reason or service.phase}{lasted}"
    if service.progress is None or width < BAR_WIDTH + SHORTEST_REASON:
        return [Cell(cut(words, width), QUIET)]
    full, empty = bar(service.progress.percent / 100, BAR_WIDTH)
    return [Cell(full, ACCENT), Cell(f"{empty} ", RULE), Cell(cut(words, width - BAR_WIDTH - 1), QUIET)]


def _fitting(lines: Sequence[Sequence[Cell]], widths: Sequence[int], width: int, reasons: int) -> tuple[list[int], int]:
    """The columns that leave the reasons their room, and how much that is then."""
    unknown = {i for i in range(len(COLUMNS)) if all(line[i].text == NOTHING for line in lines)}
    chosen = [i for i in range(len(COLUMNS)) if i not in unknown or COLUMNS[i].title != "GPU"]
    spared = sorted(chosen, key=lambda i: (i not in unknown, COLUMNS[i].spared))

    def room() -> int:
        return width - sum(widths[i] + len(GAP) for i in chosen)

    enough = reasons or -len(GAP)
    while room() < enough and COLUMNS[spared[0]].spared < ALWAYS:
        chosen.remove(spared.pop(0))
    return chosen, room()


def _line(
    service: ServiceStatus, cells: Sequence[Cell], chosen: Sequence[int], widths: Sequence[int], room: int
) -> Content:
    symbol, style = mark(service.state)
    pieces: list[tuple[str, str]] = [(f"{symbol} ", style)]
    for i in chosen:
        pieces += [(fit(cells[i].text, widths[i], COLUMNS[i].right), cells[i].style), (GAP, "")]
    if room >= SHORTEST_REASON:
        pieces += reason(service, room)
    return Content.assemble(*pieces)


def _unwell(service: ServiceStatus) -> bool:
    return bool(service.reason) and not service.ready and not service.done
