"""The adapter to OpenTelemetry's SDK: the only file that imports it, and only when spans are exported."""

from __future__ import annotations

import threading
from typing import Any

from msgspec.structs import replace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState, set_span_in_context
from opentelemetry.trace.status import Status, StatusCode

from dynamo_cli import __version__
from dynamo_cli.runtime.spans import Span, Spans, SpanSettings
from dynamo_cli.runtime.trail import Trail


class _Ids(IdGenerator):
    """Says what it was told: the ids were made, and have travelled, before the span is written down."""

    trail: Trail

    def generate_trace_id(self) -> int:
        return int(self.trail.trace_id, 16)

    def generate_span_id(self) -> int:
        return int(self.trail.span_id, 16)


class OtelSpans(Spans):
    """`add` and `sampled` are called from one thread; the SDK's own thread sends."""

    def __init__(self, settings: SpanSettings) -> None:
        named = {"service.name": settings.service_name, "service.version": __version__}
        if settings.instance:
            named["service.instance.id"] = settings.instance
        self._ids = _Ids()
        self._provider = TracerProvider(resource=Resource.create(named), id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_exporter(settings)))
        self._tracer = self._provider.get_tracer("dynamo", __version__)

    def sampled(self, trail: Trail) -> Trail:
        judged = self._provider.sampler.should_sample(_above(trail), int(trail.trace_id, 16), "http-request")
        sampled = judged.decision is Decision.RECORD_AND_SAMPLE
        return trail if sampled == trail.sampled else replace(trail, sampled=sampled)

    def add(self, span: Span) -> None:
        if not span.trail.sampled:
            return
        self._ids.trail = span.trail
        written = self._tracer.start_span(
            span.name,
            context=_above(span.trail),
            kind=SpanKind.SERVER,
            attributes=dict(span.attributes),
            start_time=span.began_ns,
        )
        if span.problem:
            written.set_status(Status(StatusCode.ERROR, span.problem))
            written.set_attribute("error.type", span.problem)
        written.end(span.ended_ns)

    def close(self, timeout_s: float) -> None:
        """In a thread of its own: the exporter tries for longer when the collector does not answer."""
        closing = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        closing.start()
        closing.join(timeout_s)


def _above(trail: Trail) -> Any:
    """The context of the span that asked for this one; an empty one at the root."""
    if not trail.parent_id:
        return set_span_in_context(NonRecordingSpan(SpanContext(0, 0, is_remote=False)))
    flags = TraceFlags(TraceFlags.SAMPLED if trail.sampled else TraceFlags.DEFAULT)
    state = TraceState.from_header([trail.state]) if trail.state else None
    parent = SpanContext(int(trail.trace_id, 16), int(trail.parent_id, 16), True, flags, state)
    return set_span_in_context(NonRecordingSpan(parent))


def _exporter(settings: SpanSettings) -> SpanExporter:
    if settings.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter(endpoint=settings.endpoint, insecure=settings.endpoint.startswith("http://"))
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    return HttpExporter(endpoint=settings.endpoint)
