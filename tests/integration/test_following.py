"""One request followed through real processes: its ids in every log, its spans, its record, and that replayed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from dynamo_cli.bench.traces.read import read_trace
from tests.frontend.processes import Process, models, started, until
from tests.runtime.collector import collecting

CHAT = "/v1/chat/completions"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def lines_about(process: Process, request_id: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in process.log.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("x_request_id") == request_id]


def test_a_request_leaves_the_same_ids_everywhere(clean_environment: Path, tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the otel extra")
    with collecting() as collector, started(tmp_path) as start:
        environ = {
            **os.environ,
            "DYN_LOG": "info,dynamo.worker=debug",
            "DYN_LOGGING_JSONL": "1",
            "DYN_REQUEST_TRACE_FILE_FLUSH_INTERVAL_MS": "20",
            "OTEL_EXPORT_ENABLED": "true",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            "OTEL_SERVICE_NAME": "test",
        }
        worker = start("worker", "--engine", "echo", "--model-name", "m", env=environ)
        frontend = start("frontend", "--http-port", "0", "--request-trace", f"{tmp_path}/traces/", env=environ)
        url = json_url(frontend)
        until(lambda: models(url) == ["m"], worker, frontend)
        headers = {"x-request-id": "mine", "traceparent": f"00-{TRACE}-{SPAN}-01"}
        body = {"model": "m", "messages": [{"role": "user", "content": "one two three"}]}
        answer = httpx.post(f"{url}{CHAT}", json=body, headers=headers, trust_env=False)
        refused = httpx.post(f"{url}{CHAT}", json={}, headers={"x-request-id": "bad"}, trust_env=False)
        assert (answer.headers["x-request-id"], refused.headers["x-request-id"]) == ("mine", "bad")
        assert (answer.status_code, refused.status_code) == (200, 400)

        # The record is on disk a moment later, also if the frontend is then killed; a worker says its last spans.
        (recorded,) = until(lambda: whole(tmp_path / "traces"), frontend)
        assert (recorded.model, recorded.input_length, recorded.output_length) == ("m", 3, 3)
        until(lambda: collector.named("http-request"), frontend)
        frontend.stop(signal.SIGKILL)
        assert worker.stop() == 0
        assert len(list(read_trace(tmp_path / "traces", []))) == 1

    (outer,) = [span for span in collector.named("http-request") if span.trace_id == TRACE]
    (inner,) = collector.named("handle_payload")
    assert outer.parent_id == SPAN and (inner.trace_id, inner.parent_id) == (TRACE, outer.span_id)
    assert outer.began <= inner.began <= inner.ended <= outer.ended and not outer.failed
    assert outer.attributes["gen_ai.request.model"] == inner.attributes["gen_ai.request.model"] == "m"
    assert outer.attributes["gen_ai.usage.output_tokens"] == 3
    assert outer.resource["service.name"] == inner.resource["service.name"] == "test"
    (access,) = lines_about(frontend, "mine")
    assert (access["trace_id"], access["span_id"], access["status"]) == (TRACE, outer.span_id, 200)
    (handled,) = lines_about(worker, "mine")
    assert (handled["trace_id"], handled["span_id"]) == (TRACE, inner.span_id)
    (bad,) = lines_about(frontend, "bad")
    assert (bad["level"], bad["status"]) == ("INFO", 400)


def whole(directory: Path) -> list[Any]:
    return list(read_trace(directory, [])) if any(directory.glob("*.gz")) else []


def json_url(frontend: Process) -> str:
    """`Process.url` reads text."""
    found = until(lambda: [line for line in frontend.log.splitlines() if "serving on " in line], frontend)
    return str(json.loads(found[0])["message"].split()[2].rstrip(","))
