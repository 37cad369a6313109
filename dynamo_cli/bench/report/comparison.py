"""A comparison as text, in 80 columns."""

from __future__ import annotations

from dynamo_cli.bench.report.compare import UNCLEAR, UNKNOWN, Comparison, PointComparison, Row

SHORT = {UNCLEAR: "-", UNKNOWN: "?"}
NOTES = (
    "interval: of b - a, 95 %, by batch means of each run's requests",
    "better, worse: b, and the interval leaves out 0; -: no clear difference",
    "?: no interval, for want of requests or time; only runs repeated say more",
)


def render_comparison(comparison: Comparison) -> str:
    lines = [f"a: {comparison.a}", f"b: {comparison.b}", *comparison.warnings]
    for point in comparison.points:
        lines += ["", *_table(point)]
    if not comparison.points:
        return "\n".join([*lines, "", "They have no load level in common."])
    return "\n".join([*lines, "", *NOTES])


def _table(point: PointComparison) -> list[str]:
    head = f"{point.label:<15}{'a':>10}{'b':>10}{'b - a':>10}{'b / a':>8}  {'interval':<19}{'':>6}"
    return [head.rstrip(), *(_line(row) for row in point.rows)]


def _line(row: Row) -> str:
    ratio = "-" if row.ratio is None else f"{row.ratio:.3f}"
    between = "" if row.low is None or row.high is None else f"{_signed(row.low)} to {_signed(row.high)}"
    figures = f"{_plain(row.a):>10}{_plain(row.b):>10}{_signed(row.difference):>10}{ratio:>8}"
    return f"{row.metric:<15}{figures}  {between:<19}{SHORT.get(row.verdict, row.verdict)}".rstrip()


def _plain(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1e6 else f"{value:.4g}"


def _signed(value: float) -> str:
    """At least three digits of what is not tiny, in few columns."""
    if abs(value) >= 1e5:
        return f"{value:+.2e}"
    digits = 0 if abs(value) >= 1e3 else 2 if abs(value) >= 1 else 3
    return f"{value:+.{digits}f}"
