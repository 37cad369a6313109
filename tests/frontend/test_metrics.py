from __future__ import annotations

import httpx
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from dynamo_cli.frontend.metrics.histogram import Histogram
from tests.frontend.toy import MODEL, Deployment

Key = tuple[str, frozenset[tuple[str, str]]]


def samples(text: str) -> dict[Key, float]:
    return {
        (sample.name.removeprefix("dynamo_frontend_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def finished(endpoint: str, kind: str, error_type: str = "", model: str = MODEL) -> Key:
    labels = {"model": model, "endpoint": endpoint, "request_type": kind, "error_type": error_type}
    return "requests_total", frozenset((labels | {"status": "error" if error_type else "success"}).items())


def of_model(name: str) -> Key:
    return name, frozenset({("model", MODEL)})


async def test_requests_are_counted_under_the_references_names(http: httpx.AsyncClient) -> None:
    hello = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}
    await http.post("/v1/chat/completions", json=hello)
    await http.post("/v1/chat/completions", json={**hello, "stream": True})
    await http.post("/v1/chat/completions", json={**hello, "max_tokens": 10**6})
    await http.post("/v1/completions", json={"model": "other", "prompt": "x"})
    answer = await http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples(answer.text)
    assert found[finished("chat_completions", "unary")] == 1
    assert found[finished("chat_completions", "stream")] == 1
    assert found[finished("chat_completions", "unary", "validation")] == 1
    assert found[finished("completions", "unary", "not_found", "")] == 1
    assert found[of_model("inflight_requests")] == found[of_model("queued_requests")] == 0
    assert found[of_model("output_tokens_total")] == 20
    assert found[of_model("input_sequence_tokens_sum")] == 20
    assert found[of_model("cached_tokens_sum")] == 6
    for name in (
        "time_to_first_token_seconds",
        "output_sequence_tokens",
        "request_duration_seconds",
        "tokenize_seconds",
    ):
        assert found[of_model(f"{name}_count")] >= 2
        assert found[of_model(f"{name}_sum")] > 0
    assert found[of_model("model_ready")] == 1
    assert found[of_model("model_context_length")] == 20_000


async def test_the_admin_socket_has_all_routes_and_does_not_count_probes(bare: Deployment) -> None:
    await bare.start(admin=True)
    await bare.add_worker()
    await bare.ready()
    (socket,) = bare.admin_sockets
    assert socket.stat().st_mode & 0o777 == 0o600
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as admin:
        assert (await admin.get("/health")).json()["status"] == "ready"
        assert (await admin.get("/live")).status_code == 200
        body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
        probe = await admin.post("/v1/chat/completions", json=body, headers={"x-dynamo-probe": "1"})
        assert probe.status_code == 200
        assert (finished("chat_completions", "unary") in samples((await admin.get("/metrics")).text)) is False
        await admin.post("/v1/chat/completions", json=body)
        assert samples((await admin.get("/metrics")).text)[finished("chat_completions", "unary")] == 1
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as public:
        await public.post("/v1/chat/completions", json=body, headers={"x-dynamo-probe": "1"})
        assert samples((await public.get("/metrics")).text)[finished("chat_completions", "unary")] == 2


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(0, 5))))
def test_every_value_is_in_the_first_bucket_that_holds_it(values: list[tuple[float, int]]) -> None:
    histogram = Histogram((1.0, 5.0, 10.0))
    for value, times in values:
        histogram.observe(value, times)
    for at, (low, high) in enumerate([(-1, 1), (1, 5), (5, 10), (10, 99)]):
        assert histogram.counts[at] == sum(times for value, times in values if low < value <= high)
