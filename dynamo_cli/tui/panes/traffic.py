"""What the frontends answer, with how it was until now. Pure."""

from __future__ import annotations

from typing import NamedTuple

from textual.content import Content

from dynamo_cli.protocol.measures import Traffic
from dynamo_cli.supervisor.measuring.words import NOTHING, amount, latency
from dynamo_cli.tui.figures import rate
from dynamo_cli.tui.history import History, spark
from dynamo_cli.tui.look import BAD, GRAPH, QUIET
from dynamo_cli.tui.panes.cells import fit

WIDE = 120
GAP = 3
GRAPH_WIDTH = 14
"""The least cells of a graph."""
FIGURES = 26
"""Cells of the block of latencies."""


class Graph(NamedTuple):
    title: str
    series: str
    value: str


def traffic_lines(traffic: Traffic | None, history: History, width: int, height: int) -> list[Content]:
    """`height` lines of `width` cells: a line of figures, and graphs below it; latencies at the right."""
    room = width - 1 - FIGURES
    graphs = _graphs(traffic)[: min(4 if width >= WIDE else 3, room // (GRAPH_WIDTH + GAP))]
    figures = _figures(traffic)
    each = room // len(graphs) - GAP if graphs else 0
    drawn = [spark(history.of(graph.series), each, height - 1) for graph in graphs]
    lines = []
    for y in range(height):
        pieces = [(" ", "")]
        for graph, bars in zip(graphs, drawn, strict=True):
            if y == 0:
                pieces += [(graph.title, QUIET), (fit(f" {graph.value}", each - len(graph.title)), "bold")]
            else:
                pieces.append((bars[y - 1], GRAPH))
            pieces.append((" " * GAP, ""))
        if y < len(figures):
            title, value, style = figures[y]
            pieces += [(fit(title, 5), QUIET), (fit(value, FIGURES - 5), style)]
        lines.append(Content.assemble(*pieces))
    return lines


def _graphs(traffic: Traffic | None) -> list[Graph]:
    return [
        Graph("tokens/s", "output_tokens_s", rate(traffic.output_tokens_s if traffic else None)),
        Graph("requests/s", "requests_s", rate(traffic.requests_s if traffic else None)),
        Graph("in flight", "in_flight", str(traffic.in_flight) if traffic else NOTHING),
        Graph("prompt tokens/s", "prompt_tokens_s", rate(traffic.prompt_tokens_s if traffic else None)),
    ]


def _figures(traffic: Traffic | None) -> list[tuple[str, str, str]]:
    """(title, words, style) of what has no graph, the most wanted first."""
    if traffic is None:
        return [("TTFT", NOTHING, QUIET), ("ITL", NOTHING, QUIET)]
    figures = [
        ("TTFT", _percentiles(traffic.ttft_p50_s, traffic.ttft_p99_s), ""),
        ("ITL", _percentiles(traffic.itl_p50_s, traffic.itl_p99_s), ""),
    ]
    moved = traffic.transfers
    if moved:
        figures.append(("KV", f"{rate(moved.transfers_s)}/s, {amount(moved.bytes_s, 'B')}/s moved", ""))
    if traffic.failed_total:
        figures.append(("all", f"{traffic.failed_total:,} of {traffic.requests_total:,} failed", BAD))
    else:
        figures.append(("all", f"{traffic.requests_total:,} answered", QUIET))
    return figures


def _percentiles(p50: float | None, p99: float | None) -> str:
    return NOTHING if p50 is None and p99 is None else f"{latency(p50)}  p99 {latency(p99)}"
