"""A picture of the policies: what each finds in the caches and how long its first tokens take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dynamo_cli.bench.replay.cluster import Outcome
from dynamo_cli.bench.replay.result import PolicyResult
from dynamo_cli.bench.report.spread import percentile
from dynamo_cli.bench.report.svg import HALF, Axis, Chart, Tick, fitted

COLOURS = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#65a30d", "#be185d")
SHARES = tuple(Tick(value / 100, f"{value} %") for value in (0, 25, 50, 75, 100))
HEIGHT = 300

_STYLE = """
text{font:12px system-ui,sans-serif;fill:#334155}.axis{font-weight:600}.tick{fill:#64748b}
.grid{stroke:#e2e8f0}.base{stroke:#94a3b8}.limit{stroke:#64748b;stroke-dasharray:5 4}
.line{fill:none;stroke-width:2}path{fill:none}
"""


def plot(results: Sequence[PolicyResult], outcomes: Mapping[str, Outcome]) -> str:
    """An SVG document of two charts."""
    colours = "".join(f".c{at}.line{{stroke:{colour}}}.c{at}.dot{{fill:{colour}}}" for at, colour in enumerate(COLOURS))
    charts = (_hits(results), _first_tokens(results, outcomes))
    inner = "".join(
        f'<svg x="{at * HALF}" width="{HALF}" height="{HEIGHT}"{chart.svg().removeprefix("<svg")}'
        for at, chart in enumerate(charts)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * HALF} {HEIGHT}" width="{2 * HALF}">'
        f'<style>{_STYLE}{colours}</style><rect width="100%" height="100%" fill="white"/>{inner}</svg>\n'
    )


def _hits(results: Sequence[PolicyResult]) -> Chart:
    ceiling = results[0].ceiling_hit_ratio
    highest = max(ceiling, *(each.hit_ratio for each in results))
    across = fitted("mean TTFT, ms", [each.ttft_mean_ms for each in results], from_zero=True)
    chart = Chart("Hits and TTFT", across, fitted("hit ratio", [highest * 1.05], from_zero=True), HALF, HEIGHT)
    chart.across(ceiling, "one pooled cache")
    for at, each in enumerate(results):
        chart.dot(each.ttft_mean_ms, each.hit_ratio, _colour(at), f"{each.policy}: {each.hit_ratio:.3f}", 5)
        right = across.share(each.ttft_mean_ms) > 0.7
        chart.text(
            each.ttft_mean_ms, each.hit_ratio, each.policy, dx=-9 if right else 9, anchor="end" if right else "start"
        )
    return chart


def _first_tokens(results: Sequence[PolicyResult], outcomes: Mapping[str, Outcome]) -> Chart:
    ordered = [sorted(1000 * value for value in outcomes[each.policy].ttft_s) for each in results]
    ends = [percentile(values, percent) for values in ordered if values for percent in (1, 99.5)]
    chart = Chart("TTFT", fitted("TTFT, ms", ends), Axis("share of requests", 0, 1, ticks=SHARES), HALF, HEIGHT)
    for at, (each, values) in enumerate(zip(results, ordered, strict=True)):
        if values:
            chart.line([(percentile(values, step / 2), step / 200) for step in range(200)], _colour(at), each.policy)
    return chart


def _colour(at: int) -> str:
    return f"c{at % len(COLOURS)}"
