"""Requests that share prefixes, over four workers with small caches: what each way of routing finds in them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from tests.integration.dynamo import TOPOLOGIES, Dynamo

pytestmark = pytest.mark.slow
PREFIXES, REQUESTS = 20, 120
WORDS = ("the", "water", "people", "find", "long", "day", "come", "made", "part", "may", "number", "see")


def cached_share(url: str, model: str) -> float:
    rng = random.Random(5)
    prefixes = [" ".join(rng.choices(WORDS, k=900)) for _ in range(PREFIXES)]
    cached = prompt = 0
    with httpx.Client(timeout=20.0, trust_env=False) as client:
        for _ in range(REQUESTS):
            text = f"{rng.choice(prefixes)} {' '.join(rng.choices(WORDS, k=20))}"
            body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 2}
            usage = client.post(f"{url}/v1/chat/completions", json=body).json()["usage"]
            prompt += usage["prompt_tokens"]
            cached += usage["prompt_tokens_details"]["cached_tokens"]
    return float(cached / prompt)


@contextmanager
def deployment(dynamo: Dynamo, *settings: str) -> Iterator[tuple[str, str]]:
    """Its URL and model."""
    fast = ("frontend.port=0", "workers.decode.options={speedup_ratio=0,num_gpu_blocks=200}")
    options = [word for setting in (*fast, *settings) for word in ("--set", setting)]
    started = dynamo.run("up", "-d", str(TOPOLOGIES / "agg_router.toml"), *options)
    assert started.code == 0, started.err
    status = dynamo.status()
    yield status["url"], status["models"][0]
    assert dynamo.run("down").code == 0


def test_requests_go_where_their_prefix_is(dynamo: Dynamo) -> None:
    """Every worker has room for 13 of the 20 prefixes, all four together for all of them twice."""
    with deployment(dynamo, "router.mode=round-robin") as (url, model):
        blind = cached_share(url, model)
    with deployment(dynamo, "router.kv_events=false") as (url, model):
        guessed = cached_share(url, model)
    with deployment(dynamo) as (url, model):
        told = cached_share(url, model)
        check_that_an_answer_tells_what_the_router_thought(url, model)
    assert blind < 0.6
    assert min(told, guessed) > blind + 0.15


def check_that_an_answer_tells_what_the_router_thought(url: str, model: str) -> None:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": " ".join(WORDS) * 40}],
        "max_tokens": 2,
        "nvext": {"extra_fields": ["worker_id", "timing"]},
    }
    first, second = (httpx.post(f"{url}/v1/chat/completions", json=body, timeout=20.0).json() for _ in range(2))
    assert second["nvext"]["worker_id"] == first["nvext"]["worker_id"]
    assert first["nvext"]["timing"]["kv_hit_rate"] == 0
    usage = second["usage"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    assert 0 < cached == round(second["nvext"]["timing"]["kv_hit_rate"] * usage["prompt_tokens"])


def test_a_conversation_stays_where_llamacpp_has_computed_it(dynamo: Dynamo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYN_LLAMACPP_THREADS", "1")
    settings = ("frontend.port=0", "router.mode=kv", "workers.decode.engine=llamacpp", "workers.decode.replicas=2")
    options = [word for setting in settings for word in ("--set", setting)]
    started = dynamo.run("up", "-d", str(TOPOLOGIES / "agg.toml"), *options, timeout_s=120)
    assert started.code == 0, started.err
    status = dynamo.status()
    words = f"{' '.join(WORDS)} " * 3
    conversations = [[{"role": "user", "content": f"{number} {words}"}] for number in range(4)]

    def ask(messages: list[dict[str, str]]) -> tuple[str, int]:
        body = {"model": status["models"][0], "messages": messages, "max_tokens": 2}
        body["nvext"] = {"extra_fields": ["worker_id"]}
        answer = httpx.post(f"{status['url']}/v1/chat/completions", json=body, timeout=20.0).json()
        cached = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
        return answer["nvext"]["worker_id"]["decode_worker"], cached

    with ThreadPoolExecutor(len(conversations)) as clients:
        first = [worker for worker, _ in clients.map(ask, conversations)]
        for messages in conversations:
            messages += [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": "And then?"}]
        second = list(clients.map(ask, conversations))
    assert set(first) == {"decode-0", "decode-1"}
    assert [worker for worker, _ in second] == first
    assert all(cached > len(words.split()) for _, cached in second)
