"""A plan as text for people and as shell lines."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from dynamo_cli.estimate.result import MemoryEstimate
from dynamo_cli.gpus.usable import memory_words
from dynamo_cli.runtime.redact import redact_command, redact_environment
from dynamo_cli.topology.process import GpuAssignment, Plan, PoolMemory, ProcessSpec

COLUMNS = ("process", "engine", "gpus", "ports", "why this engine")


class Row(NamedTuple):
    process: str
    engine: str
    gpus: str
    ports: str
    why: str


def headline(plan: Plan) -> list[str]:
    scheme = "https" if plan.tls else "http"
    where = f"{scheme}://{f'[{plan.host}]' if ':' in plan.host else plan.host}:{plan.port or '(a free port)'}"
    models = ", ".join(plan.models) or "no model"
    return [f"{plan.deployment}: {plan.source}", f"serves {models} on {where}"]


def rows(plan: Plan) -> list[Row]:
    return [
        Row(p.name, p.engine or "-", gpus_text(p.gpus), ports_text(p.ports), p.engine_reason) for p in plan.processes
    ]


def gpus_text(gpus: Sequence[GpuAssignment]) -> str:
    return ", ".join(" ".join(filter(None, (str(gpu.index), gpu.name, gpu.profile))) for gpu in gpus) or "-"


def gpu_lines(plan: Plan) -> list[str]:
    """Why each process has the GPUs it has, and why others were left out."""
    return [*(f"{p.name}: {p.gpus_reason}" for p in plan.processes if p.gpus_reason), *plan.gpu_notes]


MEMORY_COLUMNS = ("memory", "each", "weights", "KV cache", "beside", "of", "per token", "KV tokens", "at a time")


def memory_lines(plan: Plan) -> list[str]:
    """What each worker of a pool will hold, and what that is enough for; a line of words where nobody knows."""
    known = [_memory_row(each, each.estimate, plan.main_memory) for each in plan.memory if each.estimate]
    unknown = [f"memory of {each.pool} is not known: {each.note}" for each in plan.memory if not each.estimate]
    return [*(aligned([MEMORY_COLUMNS, *known]) if known else ()), *unknown]


def _memory_row(memory: PoolMemory, estimate: MemoryEstimate, main_memory: int) -> tuple[str, ...]:
    room = memory.device or main_memory
    return (
        memory.pool,
        f"{memory.gpus} GPUs" if memory.gpus > 1 else memory.place,
        memory_words(estimate.weights),
        memory_words(estimate.kv_cache),
        memory_words(estimate.overhead),
        memory_words(room) if room else "-",
        memory_words(estimate.kv_bytes_per_token),
        f"{estimate.kv_tokens:,}",
        f"{estimate.concurrency:.1f} of {estimate.context:,} tokens",
    )


def ports_text(ports: dict[str, int]) -> str:
    return ", ".join(f"{name} {port}" for name, port in ports.items()) or "-"


def table_lines(plan: Plan) -> list[str]:
    """The rows under their headings in aligned columns."""
    return aligned([COLUMNS, *rows(plan)])


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Columns under their headings, which are the first line."""
    cells = [[name.upper() for name in lines[0]], *lines[1:]]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def command_line(process: ProcessSpec) -> str:
    """The process as one shell line without secrets; `{listen_fd}` stands for the descriptor it inherits."""
    shown = covered(process)
    environment = [f"{name}={value}" for name, value in shown.env.items()]
    return shlex.join(["env", *environment, *shown.argv])


def covered(process: ProcessSpec) -> ProcessSpec:
    """The same without secrets in command and environment."""
    argv, env = redact_command(process.argv), redact_environment(process.env)
    return msgspec.structs.replace(process, argv=argv, env=env)
