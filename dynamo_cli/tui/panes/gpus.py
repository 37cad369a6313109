"""The GPUs that the deployment has, a line each. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual.content import Content

from dynamo_cli.protocol.measures import GpuMeasures
from dynamo_cli.supervisor.measuring.words import NOTHING
from dynamo_cli.tui.figures import bar, percent
from dynamo_cli.tui.look import ACCENT, BUSY, QUIET, RULE
from dynamo_cli.tui.panes.cells import GAP, Cell, fit, row

NAME_ROOM = 24
SMALL = 31
"""Cells of a GPU among others in a line."""
HOT_C, FULL = 85, 0.97
BARS = (20, 12, 8)
"""Widths of the bar, as there is room."""


def gpu_lines(gpus: Sequence[GpuMeasures], width: int, dense: bool) -> list[Content]:
    """Memory, use, temperature, power, and who has it; `dense`: several in a line, without temperature and power."""
    if dense:
        return _several_in_a_line(gpus, width)
    name_width = min(NAME_ROOM, max((cell_len(gpu.name) for gpu in gpus), default=0))
    bar_width = next((wide for wide in BARS if width >= 70 + name_width + wide), BARS[-1])
    name_width = name_width if width >= 60 + name_width + bar_width else 0
    return [row(_cells(gpu, name_width, bar_width), width) for gpu in gpus]


def _several_in_a_line(gpus: Sequence[GpuMeasures], width: int) -> list[Content]:
    """As many in each line."""
    lines = -(-len(gpus) // max(1, width // SMALL)) or 1
    each = -(-len(gpus) // lines) or 1
    return [
        row([cell for gpu in gpus[i : i + each] for cell in _small(gpu, width // each)], width)
        for i in range(0, len(gpus), each)
    ]


def _small(gpu: GpuMeasures, width: int) -> list[Cell]:
    memory = f"{gpu.memory_used / 2**30:.0f}/{gpu.memory_total / 2**30:.0f}G"
    use = f"{percent(gpu.utilization)}%" if gpu.utilization is not None else NOTHING
    return [
        Cell(f" GPU {gpu.index:<2} ", "bold"),
        *_memory(gpu, BARS[-1]),
        Cell(fit(memory, 8, right=True)),
        Cell(fit(use, 5, right=True), "bold"),
        Cell(fit(f" {', '.join(gpu.services)}", width - SMALL + 2), QUIET),
    ]


def _memory(gpu: GpuMeasures, width: int) -> tuple[Cell, Cell]:
    """A bar in two cells."""
    share = gpu.memory_used / gpu.memory_total if gpu.memory_total else 0.0
    full, empty = bar(share, width)
    return Cell(full, BUSY if share > FULL else ACCENT), Cell(empty, RULE)


def _cells(gpu: GpuMeasures, name_width: int, bar_width: int) -> list[Cell]:
    hot = (gpu.temperature_c or 0) >= HOT_C
    return [
        Cell(f" GPU {gpu.index:<2}", "bold"),
        Cell(f" {fit(gpu.name, name_width)}" if name_width else "", QUIET),
        Cell(f"{GAP}"),
        *_memory(gpu, bar_width),
        Cell(fit(f"{gpu.memory_used / 2**30:.1f}/{gpu.memory_total / 2**30:.0f} GiB", 13, right=True)),
        Cell(fit(f"{percent(gpu.utilization)} %" if gpu.utilization is not None else NOTHING, 7, right=True), "bold"),
        Cell(fit(_with_unit(gpu.temperature_c, "°C"), 7, right=True), BUSY if hot else QUIET),
        Cell(fit(_with_unit(gpu.power_w, "W"), 7, right=True), QUIET),
        Cell(f"{GAP}{', '.join(gpu.services)}"),
    ]


def _with_unit(value: float | None, unit: str) -> str:
    return NOTHING if value is None else f"{value:.0f} {unit}"
