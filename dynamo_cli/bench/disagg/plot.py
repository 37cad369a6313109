"""A picture of the comparison: the p99 between tokens and the time to the first one, by the length of prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dynamo_cli.bench.report.svg import HALF, Axis, Chart, Tick, fitted

if TYPE_CHECKING:
    from dynamo_cli.bench.disagg.compare import Figures, Row

COLOURS = {"aggregated": "#64748b", "disaggregated": "#2563eb", "local": "#d97706", "conditional": "#059669"}
HEIGHT = 300
_STYLE = """
text{font:12px system-ui,sans-serif;fill:#334155}.axis{font-weight:600}.tick{fill:#64748b}
.grid{stroke:#e2e8f0}.base{stroke:#94a3b8}.line{fill:none;stroke-width:2}path{fill:none}
"""


def plot(rows: Sequence[Row]) -> str:
    """An SVG document of two charts."""
    colours = "".join(
        f".{kind}.line{{stroke:{colour}}}.{kind}.dot{{fill:{colour}}}" for kind, colour in COLOURS.items()
    )
    charts = (
        _chart(rows, "ITL p99, ms", lambda figures: figures.itl_p99_ms),
        _chart(rows, "mean TTFT, ms", lambda figures: figures.ttft_mean_ms),
    )
    inner = "".join(
        f'<svg x="{at * HALF}" width="{HALF}" height="{HEIGHT}"{chart.svg().removeprefix("<svg")}'
        for at, chart in enumerate(charts)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * HALF} {HEIGHT + 24}" width="{2 * HALF}">'
        f'<style>{_STYLE}{colours}</style><rect width="100%" height="100%" fill="white"/>{inner}{_legend()}</svg>\n'
    )


def _chart(rows: Sequence[Row], label: str, of: Callable[[Figures], float]) -> Chart:
    lengths = [row.prompt_tokens for row in rows]
    ticks = tuple(Tick(length, str(length)) for length in lengths)
    across = Axis("prompt tokens", min(lengths) / 1.1, max(lengths) * 1.1, log=True, ticks=ticks)
    values = [of(figures) for row in rows for figures in row.figures.values()]
    chart = Chart(label, across, fitted(label, values), HALF, HEIGHT)
    for kind in COLOURS:
        points = [(float(row.prompt_tokens), of(row.figures[kind])) for row in rows]
        chart.line(points, kind, kind)
        for x, y in points:
            chart.dot(x, y, kind, f"{kind}: {y:.1f} ms", 3)
    return chart


def _legend() -> str:
    words = []
    for at, (kind, colour) in enumerate(COLOURS.items()):
        left = 60 + 130 * at
        words.append(f'<circle cx="{left}" cy="{HEIGHT + 12}" r="5" fill="{colour}"/>')
        words.append(f'<text x="{left + 10}" y="{HEIGHT + 16}">{kind}</text>')
    return "".join(words)
