"""A histogram in Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/."""

from __future__ import annotations

from collections.abc import Iterator

from dynamo_cli.runtime.histogram import Histogram


def histogram_lines(name: str, pairs: str, histogram: Histogram) -> Iterator[str]:
    """`pairs`: its labels as they stand between braces, "" for none."""
    braces, comma, total = f"{{{pairs}}}" if pairs else "", "," if pairs else "", 0
    for bound, count in zip([*map(repr, histogram.bounds), "+Inf"], histogram.counts, strict=True):
        total += count
        yield f'{name}_bucket{{{pairs}{comma}le="{bound}"}} {total}'
    yield f"{name}_sum{braces} {histogram.sum!r}"
    yield f"{name}_count{braces} {total}"
