"""What an endpoint's handler did, under the reference's metric names."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from dynamo_cli.errors import DynamoError
from dynamo_cli.protocol.instance import EndpointId
from dynamo_cli.runtime.context import Context
from dynamo_cli.runtime.histogram import Histogram
from dynamo_cli.runtime.requests.base import Handler

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
Labels = Mapping[str, str] | Sequence[tuple[str, str]]


class EndpointCounts:
    """`labels` are the endpoint's own, and those its author gave it. `errors` by the error's code."""

    def __init__(self, endpoint: EndpointId, labels: Labels = ()) -> None:
        own = {
            "dynamo_namespace": endpoint.namespace,
            "dynamo_component": endpoint.component,
            "dynamo_endpoint": endpoint.endpoint,
        }
        self.labels = own | dict(labels)
        self.requests = 0
        self.cancelled = 0
        self.errors: Counter[str] = Counter()
        self.took = Histogram(SECONDS)

    def counting(self, handler: Handler) -> Handler:
        async def counted(request: Any, context: Context) -> AsyncIterator[Any]:
            self.requests += 1
            began = time.monotonic()
            try:
                async with aclosing(handler(request, context)) as answers:  # type: ignore[type-var]
                    async for answer in answers:
                        yield answer
            except Exception as error:
                self.errors[error.code if isinstance(error, DynamoError) else type(error).__name__] += 1
                raise
            finally:
                self.cancelled += context.stopped
                self.took.observe(time.monotonic() - began)

        return counted


def rendered(endpoints: Iterable[tuple[EndpointCounts, int]]) -> bytes:
    """Prometheus text of them all, each with its requests in flight."""
    families: dict[tuple[str, str], list[str]] = {}
    for counts, inflight in endpoints:
        for name, kind, lines in _families(counts, inflight):
            families.setdefault((name, kind), []).extend(lines)
    texts = (f"# TYPE {name} {kind}\n{''.join(lines)}" for (name, kind), lines in families.items())
    return "".join(texts).encode()


def _families(counts: EndpointCounts, inflight: int) -> list[tuple[str, str, list[str]]]:
    labels, prefix = counts.labels, "dynamo_component_"
    return [
        (f"{prefix}requests", "counter", [_line(f"{prefix}requests_total", labels, counts.requests)]),
        (f"{prefix}inflight_requests", "gauge", [_line(f"{prefix}inflight_requests", labels, inflight)]),
        (f"{prefix}cancellation", "counter", [_line(f"{prefix}cancellation_total", labels, counts.cancelled)]),
        (
            f"{prefix}errors",
            "counter",
            [_line(f"{prefix}errors_total", {**labels, "error_type": kind}, n) for kind, n in counts.errors.items()],
        ),
        (
            f"{prefix}request_duration_seconds",
            "histogram",
            list(_buckets(f"{prefix}request_duration_seconds", labels, counts.took)),
        ),
    ]


def _buckets(name: str, labels: Mapping[str, str], took: Histogram) -> Iterable[str]:
    total = 0
    for bound, count in zip((*took.bounds, "+Inf"), took.counts, strict=True):
        total += count
        yield _line(f"{name}_bucket", {**labels, "le": str(bound)}, total)
    yield _line(f"{name}_sum", labels, took.sum)
    yield _line(f"{name}_count", labels, total)


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{pairs}}} {value}\n"


def _escaped(text: str) -> str:
    return str(text).replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
