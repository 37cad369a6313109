"""Prometheus' text format, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format; written here because the usual library
takes 80 ms and 11 MB to import, and gives every counter a name that ends with _total, which not all of ours do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dynamo_cli.errors import UsageError
from dynamo_cli.frontend.metrics.families import FAMILIES, Family
from dynamo_cli.frontend.metrics.samples import Samples, Value
from dynamo_cli.runtime.exposition import histogram_lines
from dynamo_cli.runtime.histogram import Histogram

DEFAULT_PREFIX = "dynamo_frontend"
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def check_prefix(prefix: str) -> str:
    """The prefix, without the underscore that follows it; UsageError when no name of a metric can begin so."""
    if not _NAME.fullmatch(prefix):
        raise UsageError(f"metrics prefix {prefix!r}: use letters, digits, _ and :, and begin with no digit")
    return prefix.rstrip("_") or prefix


def write(samples: Samples, prefix: str = DEFAULT_PREFIX) -> bytes:
    """Families without a sample are left out."""
    lines: list[str] = []
    for family in FAMILIES:
        values = samples.get(family.name)
        if values:
            name = f"{prefix}_{family.name}" if family.prefixed else family.name
            lines += (f"# HELP {name} {family.help}", f"# TYPE {name} {family.kind}")
            for labels in sorted(values):
                lines += _lines(name, _pairs(family, labels), values[labels])
    return "\n".join([*lines, ""]).encode()


def _pairs(family: Family, labels: tuple[str, ...]) -> str:
    return ",".join(
        [f'{label}="{value.translate(_ESCAPES)}"' for label, value in zip(family.labels, labels, strict=True)]
    )


def _lines(name: str, pairs: str, value: Value) -> Iterator[str]:
    if isinstance(value, Histogram):
        yield from histogram_lines(name, pairs, value)
    else:
        yield f"{name}{f'{{{pairs}}}' if pairs else ''} {value!r}"
