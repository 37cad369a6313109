"""Two frontends in router mode kv: as good as one, and none counts what another one that was killed had sent."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.integration.dynamo import TOPOLOGIES, Dynamo, admin, kill
from tests.supervisor.harness import until

pytestmark = pytest.mark.slow
PREFIXES, REQUESTS, AT_ONCE = 12, 96, 8
WORDS = ("the", "water", "people", "find", "long", "day", "come", "made", "part", "may", "number", "see")
SMALL = "workers.decode.options={num_gpu_blocks=120,speedup_ratio=20}"
"""Every worker has room for 7 of the prefixes."""
SLOW = "workers.decode.options={speedup_ratio=0.05}"


class Deployed:
    def __init__(self, dynamo: Dynamo, home: Path) -> None:
        status = dynamo.status()
        self.url: str = status["url"]
        self.model: str = status["models"][0]
        self._run = home / status["deployment"] / "run"

    def ask(self, text: str, tokens: int) -> dict[str, Any]:
        """Over a connection of its own, so that the kernel chooses the frontend."""
        body = {"model": self.model, "messages": [{"role": "user", "content": text}], "max_tokens": tokens}
        answer = httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=60.0, trust_env=False)
        return dict(answer.json())

    def begin(self, text: str) -> HTTPConnection:
        """A long answer nobody reads; closing the connection gives it up."""
        address = urlsplit(self.url)
        connection = HTTPConnection(f"{address.hostname}:{address.port}", timeout=20)
        messages = [{"role": "user", "content": text}]
        body = {"model": self.model, "messages": messages, "max_tokens": 2000, "stream": True}
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        return connection

    def view(self, frontend: int) -> dict[str, Any]:
        with admin(self._run / f"frontend-{frontend}.sock") as client:
            return dict(client.get("/router").json())

    def requests(self, frontend: int) -> dict[str, int]:
        """By router, as this frontend sees it."""
        found: dict[str, int] = {}
        for worker in self.workers(frontend).values():
            for router, share in worker["by_router"].items():
                found[router] = found.get(router, 0) + share["requests"]
        return found

    def workers(self, frontend: int) -> dict[str, Any]:
        return dict(self.view(frontend)["models"][self.model]["workers"])


@pytest.fixture
def home(clean_environment: Path) -> Path:
    return clean_environment


@contextmanager
def deployed(dynamo: Dynamo, home: Path, *settings: str, topology: str = "agg_router") -> Iterator[Deployed]:
    options = [word for setting in ("frontend.port=0", *settings) for word in ("--set", setting)]
    started = dynamo.run("up", "-d", str(TOPOLOGIES / f"{topology}.toml"), *options)
    assert started.code == 0, started.err
    yield Deployed(dynamo, home)
    assert dynamo.run("down").code == 0


def cached_share(deployment: Deployed) -> float:
    rng = random.Random(5)
    prefixes = [" ".join(rng.choices(WORDS, k=1000)) for _ in range(PREFIXES)]
    texts = [f"{rng.choice(prefixes)} {' '.join(rng.choices(WORDS, k=20))}" for _ in range(REQUESTS)]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        usages = [answer["usage"] for answer in threads.map(lambda text: deployment.ask(text, 4), texts)]
    cached = sum(usage["prompt_tokens_details"]["cached_tokens"] for usage in usages)
    return float(cached / sum(usage["prompt_tokens"] for usage in usages))


def test_two_frontends_find_as_much_as_one(dynamo: Dynamo, home: Path) -> None:
    with deployed(dynamo, home, SMALL) as deployment:
        one = cached_share(deployment)
    with deployed(dynamo, home, SMALL, "frontend.replicas=2") as deployment:
        two = cached_share(deployment)
        for frontend in (0, 1):
            until(lambda at=frontend: deployment.requests(at) == {}, 5.0, "the end of all requests")
            assert all(
                (worker["active_blocks"], worker["queued_tokens"], worker["requests"]) == (0, 0, 0)
                for worker in deployment.workers(frontend).values()
            )
    assert two == pytest.approx(one, abs=0.06), (one, two)


def test_kill_9_of_one_under_load_takes_its_requests_out_of_the_others_view(dynamo: Dynamo, home: Path) -> None:
    """The one that comes in its place is another router, and is told what is in flight."""
    with deployed(dynamo, home, SLOW, "frontend.replicas=2", "workers.decode.replicas=2") as deployment:
        killed, left = deployment.view(0)["router"], deployment.view(1)["router"]
        pid = dynamo.pid("frontend-0")
        connections: list[HTTPConnection] = []
        while set(deployment.requests(1)) != {killed, left}:
            assert len(connections) < 200, "one of them takes nothing"
            connections += [deployment.begin(f"{len(connections)} {number} " * 100) for number in range(8)]
            begun = len(connections)
            until(lambda all_of=begun: sum(deployment.requests(1).values()) == all_of, 10.0, "all requests")
        until(lambda: deployment.requests(0) == deployment.requests(1), 5.0, "the same view")
        its_own = deployment.requests(1)[left]
        kill(pid)
        until(lambda: killed not in deployment.requests(1), 2.0, "the end of what the killed one had")
        assert deployment.requests(1)[left] >= its_own, "more: the supervisor asks too whether the model answers"
        dynamo.until("READY", 15.0)
        new = deployment.view(0)["router"]
        assert new not in (killed, left)
        until(lambda: deployment.view(1)["routers"] == {new: True}, 5.0, "the new one to be known")
        until(lambda: deployment.requests(0).get(left, 0) >= its_own, 5.0, "the snapshot")
        for connection in connections:
            connection.close()
        until(lambda: not deployment.requests(0) and not deployment.requests(1), 5.0, "the end of all requests")
