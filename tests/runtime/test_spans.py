from __future__ import annotations

import sys
import time
from concurrent import futures

import pytest

from dynamo_cli.errors import EngineMissing, UsageError
from dynamo_cli.runtime.spans import Span, Spans, SpanSettings, open_spans, span_settings
from dynamo_cli.runtime.trail import Trail, begin_trail
from tests.runtime.collector import Collector, collecting

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the otel extra")
ON = {"OTEL_EXPORT_ENABLED": "1"}
PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = PARENT[:-1] + b"0"


def opened(url: str, **environ: str) -> Spans:
    spans = open_spans(
        {
            **ON,
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": url,
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            **environ,
        }
    )
    assert spans is not None
    return spans


def span(trail: Trail, problem: str = "") -> Span:
    return Span("one", trail, 1_000_000, 3_000_000, {"a": 1, "b": ["x"]}, problem)


def test_spans_have_the_ids_that_travelled() -> None:
    top, below = begin_trail("r"), begin_trail("r", PARENT, b"v=1")
    with collecting() as collector:
        spans = opened(collector.url, OTEL_SERVICE_NAME="mine", DYNAMO_SERVICE="frontend-0")
        for trail in (top, below, below.continued()):
            spans.add(span(trail))
        spans.add(span(begin_trail("r", UNSAMPLED)))
        spans.add(span(top.continued(), "internal"))
        spans.close(5.0)
    first, second, third, failed = collector.spans
    assert (first.trace_id, first.span_id, first.parent_id) == (top.trace_id, top.span_id, "")
    assert (second.trace_id, second.span_id) == (below.trace_id, below.span_id)
    assert (second.parent_id, second.state) == ("b7ad6b7169203331", "v=1")
    assert (third.trace_id, third.parent_id) == (below.trace_id, below.span_id)
    assert (first.began, first.ended, first.attributes) == (1_000_000, 3_000_000, {"a": 1, "b": ["x"]})
    assert first.resource["service.name"] == "mine" and first.resource["service.instance.id"] == "frontend-0"
    assert failed.failed and failed.attributes["error.type"] == "internal" and not first.failed


def test_the_sampler_decides_before_the_ids_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        spans = opened(collector.url)
        assert spans.sampled(begin_trail("r")).sampled
        assert not spans.sampled(begin_trail("r", UNSAMPLED)).sampled
        spans.close(5.0)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
        spans = opened(collector.url)
        trails = [spans.sampled(begin_trail("r")) for _ in range(400)]
        assert spans.sampled(begin_trail("r", PARENT)).sampled
        for trail in trails:
            spans.add(span(trail))
        spans.close(5.0)
    assert 100 < len(collector.spans) < 300
    assert {heard.trace_id for heard in collector.spans} == {trail.trace_id for trail in trails if trail.sampled}


def test_over_grpc() -> None:
    import grpc

    collector = Collector()

    def export(body: bytes, _: object) -> bytes:
        collector.take(body)
        return b""

    server = grpc.server(futures.ThreadPoolExecutor(1))
    handler = grpc.unary_unary_rpc_method_handler(export)
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    spans = open_spans({**ON, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{port}"})
    assert spans is not None
    spans.add(span(begin_trail("r")))
    spans.close(5.0)
    server.stop(None)
    assert len(collector.spans) == 1


def test_a_collector_that_does_not_answer_holds_nobody_up() -> None:
    spans = opened("http://127.0.0.1:9/v1/traces")
    began = time.monotonic()
    spans.add(span(begin_trail("r")))
    spans.close(0.3)
    assert time.monotonic() - began < 2.0


def test_the_variables() -> None:
    assert span_settings({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x:1"}) is None
    assert span_settings(ON) == SpanSettings("http://localhost:4317", "grpc", "dynamo", "")
    http = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    assert span_settings(ON | http) == SpanSettings("http://localhost:4318/v1/traces", "http/protobuf", "dynamo", "")
    general = span_settings(ON | http | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1/"})
    assert general is not None and general.endpoint == "http://x:1/v1/traces"


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"OTEL_EXPORT_ENABLED": "maybe"}, "OTEL_EXPORT_ENABLED=maybe: expected 1 or 0"),
        (
            ON | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            "OTEL_EXPORTER_OTLP_PROTOCOL=http/json: use grpc or http/protobuf",
        ),
        (
            ON | {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "x:1"},
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=x:1: expected http://HOST:PORT",
        ),
    ],
)
def test_wrong_values_are_named(environ: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_spans(environ)
    assert str(caught.value) == words


def test_without_the_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "dynamo_cli.runtime.otel", raising=False)
    for module in [name for name in sys.modules if name.startswith("opentelemetry.sdk")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    with pytest.raises(EngineMissing, match=r"=1 needs OpenTelemetry: pip install 'dynamo-cli\[otel\]'"):
        open_spans(ON)
