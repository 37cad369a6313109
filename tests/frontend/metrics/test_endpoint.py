from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from dynamo_cli.frontend.app import FrontendOptions
from dynamo_cli.frontend.metrics.buckets import DEFAULT_BUCKETS
from dynamo_cli.frontend.metrics.options import MetricsOptions
from dynamo_cli.frontend.peers import FRONTENDS_PREFIX, Peer
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage
from dynamo_cli.runtime.context import Context
from tests.frontend.metrics.test_text import Key, parsed
from tests.frontend.toy import MODEL, Deployment

HELLO: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}
MODEL_LABEL = ("model", MODEL)


def samples(text: str) -> dict[Key, float]:
    return {
        (name.removeprefix("dynamo_frontend_"), labels): value
        for (name, labels), value in parsed(text.encode()).items()
    }


def finished(endpoint: str, kind: str, error_type: str = "", model: str = MODEL) -> Key:
    labels = {"model": model, "endpoint": endpoint, "request_type": kind, "error_type": error_type}
    return "requests_total", frozenset((labels | {"status": "error" if error_type else "success"}).items())


def of_model(name: str) -> Key:
    return name, frozenset({MODEL_LABEL})


def of(name: str, **labels: str) -> Key:
    return name, frozenset(labels.items())


OF_THE_PROCESS = {"event_loop_delay_seconds_count", "event_loop_stall_total", "process_cpu_seconds_total"}
"""What a frontend counts that nobody asks for anything."""
TOKENS_SHOWN = of("detokenize_token_count_total")
"""The parser gives every counter this ending, detokenize_total_us too."""


async def scraped(url: str) -> dict[Key, float]:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    return samples(answer.text)


async def ask(url: str, **fields: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        return await client.post("/v1/chat/completions", json={**HELLO, **fields})


async def test_requests_are_counted_under_the_references_names(http: httpx.AsyncClient) -> None:
    await http.post("/v1/chat/completions", json=HELLO)
    await http.post("/v1/chat/completions", json={**HELLO, "stream": True})
    await http.post("/v1/chat/completions", json={**HELLO, "max_tokens": 10**6})
    await http.post("/v1/completions", json={"model": "other", "prompt": "x"})
    answer = await http.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = samples(answer.text)
    assert found[finished("chat_completions", "unary")] == 1
    assert found[finished("chat_completions", "stream")] == 1
    assert found[finished("chat_completions", "unary", "validation")] == 1
    assert found[finished("completions", "unary", "not_found", "")] == 1
    for name in ("inflight_requests", "active_requests", "queued_requests"):
        assert found[of_model(name)] == 0
    assert found[of_model("output_tokens_total")] == found[TOKENS_SHOWN] == 20
    assert found[of_model("input_sequence_tokens_sum")] == 20
    assert found[of_model("cached_tokens_sum")] == 6
    for name in ("time_to_first_token_seconds", "output_sequence_tokens", "tokenize_seconds", "template_seconds"):
        assert found[of_model(f"{name}_count")] >= 2
        assert found[of_model(f"{name}_sum")] > 0
    assert found[of_model("request_duration_seconds_count")] == 3
    assert found[of("tokenizer_latency_ms_count", operation="tokenize")] == 3
    assert found[of("detokenize_total_us_total")] > 0
    assert found[of_model("model_ready")] == 1
    assert found[of_model("model_context_length")] == 20_000
    assert found[of_model("model_migration_limit")] == 3


async def test_a_request_goes_through_its_stages(http: httpx.AsyncClient) -> None:
    await http.post("/v1/chat/completions", json={**HELLO, "stream": True})
    await http.post("/v1/chat/completions", json=HELLO)
    found = samples((await http.get("/metrics")).text)
    spent = 0.0
    for stage in ("preprocess", "route", "transport_roundtrip", "decode"):
        assert found[of("stage_duration_seconds_count", stage=stage)] == 2
        spent += found[of("stage_duration_seconds_sum", stage=stage)]
    assert spent == pytest.approx(found[of_model("request_duration_seconds_sum")])


@pytest.mark.alone
async def test_first_and_later_tokens_are_timed_alike_whether_streamed_or_not(bare: Deployment) -> None:
    async def slow(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        for token in b"abcd":
            yield Delta([token])
            await asyncio.sleep(0.05)
        yield Delta(list(b"ef"), finish_reason="length", usage=EngineUsage(10, 6))

    await bare.start()
    await bare.add_worker(slow)
    await bare.ready()
    for stream in (False, True):
        before = await scraped(bare.url)
        await ask(bare.url, stream=stream)
        after = await scraped(bare.url)

        grown = {name: value - before.get((name, labels), 0) for (name, labels), value in after.items()}
        assert grown["time_to_first_token_seconds_sum"] < 0.15
        assert grown["inter_token_latency_seconds_count"] == 5
        assert grown["inter_token_latency_seconds_sum"] == pytest.approx(0.2, abs=0.1)
        assert grown["request_duration_seconds_sum"] >= 0.2
        assert grown["output_tokens_total"] == 6


async def test_the_admin_socket_has_all_routes_and_does_not_count_probes(bare: Deployment) -> None:
    await bare.start(admin=True)
    await bare.add_worker()
    await bare.ready()
    (path,) = bare.admin_sockets
    assert path.stat().st_mode & 0o777 == 0o600
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as admin:
        assert (await admin.get("/health")).json()["status"] == "ready"
        assert (await admin.get("/live")).status_code == 200
        body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
        probe = await admin.post("/v1/chat/completions", json=body, headers={"x-dynamo-probe": "1"})
        assert probe.status_code == 200
        told = samples((await admin.get("/metrics")).text)
        assert (finished("chat_completions", "unary") in told) is False
        counted = {name for (name, _), value in told.items() if name.endswith(("_count", "_total")) and value}
        assert counted <= OF_THE_PROCESS
        await admin.post("/v1/chat/completions", json=body)
        assert samples((await admin.get("/metrics")).text)[finished("chat_completions", "unary")] == 1
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as public:
        await public.post("/v1/chat/completions", json=body, headers={"x-dynamo-probe": "1"})
        assert (await scraped(bare.url))[finished("chat_completions", "unary")] == 2
        assert (await public.get("/counts")).status_code == 404
        assert (await public.get("/metrics/deployment")).status_code == 404


async def test_any_frontend_tells_of_all_even_of_one_that_is_gone(bare: Deployment) -> None:
    one, first = await bare.add_frontend(service="frontend-0")
    two, second = await bare.add_frontend(service="frontend-1")
    bare.frontend, bare.url = one, first
    await bare.add_worker()
    await bare.ready()
    bare.frontend = two
    await bare.ready()
    for url, times in ((first, 2), (second, 3)):
        for _ in range(times):
            assert (await ask(url)).status_code == 200
    counted = finished("chat_completions", "unary")
    told = [await scraped(first), await scraped(second)]
    for path in bare.admin_sockets:
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path)), base_url="http://a") as admin:
            told.append(samples((await admin.get("/metrics/deployment")).text))
    for found in told:
        assert found[counted] == found[of_model("time_to_first_token_seconds_count")] == 5
        assert found[of_model("model_ready")] == 1
        for frontend in ("frontend-0", "frontend-1"):
            assert found[of("scrape_up", frontend=frontend)] == 1
            assert found[of("process_cpu_seconds_total", frontend=frontend)] > 0
            assert of("event_loop_delay_seconds_count", frontend=frontend) in found
    assert (await ask(second)).status_code == 200
    await bare.close(two)
    found = await scraped(first)
    assert found[counted] == 6
    assert of("scrape_up", frontend="frontend-1") not in found
    again, third = await bare.add_frontend(service="frontend-1")
    bare.frontend = again
    await bare.ready()
    await ask(third)
    assert (await scraped(first))[counted] == (await scraped(third))[counted] == 7


async def test_one_that_hangs_or_talks_nonsense_is_told_missing_with_what_it_had_said(
    bare: Deployment, tmp_path: Path
) -> None:
    _, url = await bare.add_frontend(service="frontend-0")
    runtime = await bare._runtime()
    directory = runtime.config.paths.runtime_dir
    path = directory / "frontend-1.sock"
    (directory / "frontend-1.counts").write_bytes(msgspec.msgpack.encode({"output_tokens_total": {("m",): 9}}))
    (directory / "frontend-2.counts").write_bytes(b"rubbish")
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(path))
        hung.listen()
        peer = Peer("frontend-1", str(path))
        await runtime.discovery.put(f"{FRONTENDS_PREFIX}1", msgspec.msgpack.encode(peer))
        await asyncio.sleep(0)
        found = await scraped(url)
    path.unlink()
    assert found[of("scrape_up", frontend="frontend-1")] == 0
    assert found[of("scrape_up", frontend="frontend-0")] == 1
    assert found[of("output_tokens_total", model="m")] == 9


async def test_the_prefix_can_be_another_but_not_for_the_supervisor(bare: Deployment) -> None:
    await bare.start(FrontendOptions(metrics=MetricsOptions("mine", DEFAULT_BUCKETS)), admin=True)
    await bare.add_worker()
    await bare.ready()
    await ask(bare.url)
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as client:
        text = (await client.get("/metrics")).text
    assert f'mine_output_tokens_total{{model="{MODEL}"}} 10\n' in text
    assert "dynamo_frontend" not in text
    (path,) = bare.admin_sockets
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path)), base_url="http://admin") as admin:
        text = (await admin.get("/metrics/deployment")).text
    assert f'dynamo_frontend_output_tokens_total{{model="{MODEL}"}} 10\n' in text and "mine" not in text
