"""`dynamo status --router` as people read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from dynamo_cli.protocol.routing_view import PrefillCounts, RoutingStatus, WorkerRouting
from dynamo_cli.supervisor.columns import GAP

if TYPE_CHECKING:
    from rich.console import RenderableType

BY_BLOCKS = ("WORKER", "BLOCKS KNOWN", "HIT", "IN USE", "QUEUED", "REQUESTS", "ROUTED")
BY_LOAD = ("WORKER", "REQUESTS")


class Part(NamedTuple):
    """One model: its `title`, and a table whose first line is its head."""

    title: str
    lines: list[tuple[str, ...]]


def headline(found: RoutingStatus) -> str:
    """The deployment, its router mode, and which frontends know of each other."""
    modes = sorted({frontend.mode for frontend in found.frontends if frontend.mode})
    mode = f"router mode {' and '.join(modes) or 'unknown'}"
    if any(frontend.asks for frontend in found.frontends):
        mode += " by a router process"
    return GAP.join([found.deployment, mode, *_knowing(found)])


def parts(found: RoutingStatus) -> list[Part]:
    return [_part(model, list(workers), found) for model, workers in groupby(found.workers, lambda one: one.model)]


def notes(found: RoutingStatus) -> list[str]:
    """What is wrong; where there is nothing to show, why."""
    if found.frontends or found.notes:
        return found.notes if found.workers else [*found.notes, "no frontend knows a worker"]
    return ["no frontend is there to ask"]


def prefill_lines(found: RoutingStatus) -> list[str]:
    """What prefill workers did, a line for each model that has some."""
    return [f"{model}: {_prefill_words(counts)}" for model, counts in found.prefills.items()]


def _prefill_words(counts: PrefillCounts) -> str:
    words = f"{counts.prefills:,} prompts prefilled remotely, {counts.bytes / 1e6:,.1f} MB of KV moved"
    if counts.seconds:
        words += f" in {counts.seconds:.1f} s ({counts.bytes / counts.seconds / 1e9:.2f} GB/s)"
    if counts.kept_local:
        words += f", {counts.kept_local:,} kept local"
    if counts.answered:
        words += f" ({counts.answered:,} answered by prefill workers)"
    return f"{words}, {counts.fallbacks:,} fallbacks"


def plain(found: RoutingStatus) -> str:
    blocks = [headline(found)]
    for title, lines in parts(found):
        widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
        aligned = (GAP.join(map(_justified, line, widths, range(len(line)))).rstrip() for line in lines)
        blocks.append("\n".join([title, *aligned]))
    if prefills := prefill_lines(found):
        blocks.append("\n".join(prefills))
    if said := notes(found):
        blocks.append("\n".join(said))
    return "\n\n".join(blocks)


def rich_parts(found: RoutingStatus) -> RenderableType:
    """The same with colours; long notes are folded."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shown: list[RenderableType] = [Text(headline(found))]
    for title, (head, *lines) in parts(found):
        table = Table(box=None, pad_edge=False, header_style="dim")
        for at, name in enumerate(head):
            table.add_column(name, justify="right" if at else "left", no_wrap=bool(at), overflow="fold")
        for line in lines:
            table.add_row(*map(Text, line))
        shown += [Text(), Text(title, style="dim"), table]
    if prefills := prefill_lines(found):
        shown += [Text(), *map(Text, prefills)]
    if said := notes(found):
        shown += [Text(), *(Text(note, style="yellow") for note in said)]
    return Group(*shown)


def _knowing(found: RoutingStatus) -> Iterator[str]:
    there = [frontend for frontend in found.frontends if not frontend.problem]
    names = [frontend.name for frontend in there]
    if len(there) == 1:
        yield names[0]
    elif there and all(set(names) <= {*frontend.knows, frontend.name} for frontend in there):
        yield f"{', '.join(names)} know of each other"
    else:
        yield from (
            f"{frontend.name} knows of {', '.join(frontend.knows)}" if frontend.knows else frontend.name
            for frontend in there
        )


def _part(model: str, workers: Sequence[WorkerRouting], found: RoutingStatus) -> Part:
    size = found.block_sizes.get(model)
    if size is None:
        rows = [(one.worker, f"{one.requests:,}") for one in workers]
        return Part(f"{model}: this mode looks at no KV caches; requests in flight:", [BY_LOAD, *rows])
    return Part(f"{model}: blocks of {size} tokens", [BY_BLOCKS, *map(_row, workers)])


def _row(one: WorkerRouting) -> tuple[str, ...]:
    known = _number(one.blocks_known)
    return (
        one.worker,
        f"{known} of {one.total_blocks:,}" if one.total_blocks else known,
        "-" if one.hit is None else f"{one.hit:.0%}",
        _number(one.active_blocks),
        _number(one.queued_tokens),
        _number(one.requests),
        _number(one.routed),
    )


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _justified(cell: str, width: int, at: int) -> str:
    return cell.rjust(width) if at else cell.ljust(width)
