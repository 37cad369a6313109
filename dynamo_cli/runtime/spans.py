"""Spans of requests: what is known of one when it is over goes to an OpenTelemetry collector, if that is wanted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dynamo_cli.errors import EngineMissing, UsageError
from dynamo_cli.runtime.logs import switch
from dynamo_cli.runtime.trail import Trail

ENABLED = "OTEL_EXPORT_ENABLED"
PROTOCOLS = ("grpc", "http/protobuf")
DEFAULT_ENDPOINTS = {"grpc": "http://localhost:4317", "http/protobuf": "http://localhost:4318/v1/traces"}
DEFAULT_NAME = "dynamo"
Attributes = Mapping[str, "str | bool | int | float | Sequence[str]"]


class Span(NamedTuple):
    """`trail` says its ids and its parent's. Times in nanoseconds since the epoch. `problem`: why it failed."""

    name: str
    trail: Trail
    began_ns: int
    ended_ns: int
    attributes: Attributes
    problem: str = ""


class Spans(ABC):
    @abstractmethod
    def sampled(self, trail: Trail) -> Trail:
        """The trail of a request that has just come, sampled or not as the sampler decides."""

    @abstractmethod
    def add(self, span: Span) -> None:
        """Hand over a span that is over; what cannot be sent in time is dropped. Never waits."""

    @abstractmethod
    def close(self, timeout_s: float) -> None:
        """Send what is left; waits no longer than that."""


class SpanSettings(NamedTuple):
    endpoint: str
    protocol: str
    service_name: str
    instance: str


def span_settings(environ: Mapping[str, str]) -> SpanSettings | None:
    """From the reference's variables; None when nothing is exported. Raises UsageError."""
    if not switch(environ, ENABLED):
        return None
    names = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    name = next((name for name in names if environ.get(name)), names[0])
    protocol = environ.get(name) or "grpc"
    if protocol not in PROTOCOLS:
        raise UsageError(f"{name}={protocol}: use {' or '.join(PROTOCOLS)}")
    return SpanSettings(
        _endpoint(environ, protocol),
        protocol,
        environ.get("OTEL_SERVICE_NAME") or DEFAULT_NAME,
        environ.get("DYNAMO_SERVICE", ""),
    )


def _endpoint(environ: Mapping[str, str], protocol: str) -> str:
    """The one for traces is used as it is, to the one for everything HTTP adds its path."""
    name, endpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if not endpoint:
        name, endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT", environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        if endpoint and protocol == "http/protobuf":
            endpoint = f"{endpoint.rstrip('/')}/v1/traces"
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise UsageError(f"{name}={endpoint}: expected http://HOST:PORT")
    return endpoint or DEFAULT_ENDPOINTS[protocol]


def open_spans(environ: Mapping[str, str]) -> Spans | None:
    """None when nothing is exported. Raises UsageError, and EngineMissing when the packages are not installed."""
    settings = span_settings(environ)
    if settings is None:
        return None
    try:
        from dynamo_cli.runtime.otel import OtelSpans
    except ImportError as error:
        raise EngineMissing(
            f"{ENABLED}={environ[ENABLED]} needs OpenTelemetry: pip install 'dynamo-cli[otel]' ({error})"
        ) from None
    return OtelSpans(settings)
