"""Frontends that share a port share the connections, and stand in for each other."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.integration.dynamo import TOPOLOGIES, Dynamo, ask, kill, metric
from tests.supervisor.harness import until

pytestmark = pytest.mark.slow

CONNECTIONS = 200
FEWEST = 40


class Deployed:
    def __init__(self, dynamo: Dynamo, home: Path) -> None:
        file = str(TOPOLOGIES / "multi_frontend.toml")
        assert dynamo.run("up", "-d", file, "--set", "frontend.port=0").code == 0
        status = dynamo.status()
        self.url: str = status["url"]
        self.model: str = status["models"][0]
        self._run = home / status["deployment"] / "run"

    def answered(self) -> list[int]:
        """Requests by frontend."""
        return [int(metric(self._run / f"frontend-{n}.sock", "dynamo_frontend_requests_total")) for n in (0, 1)]

    def connect(self) -> HTTPConnection:
        address = urlsplit(self.url)
        assert address.hostname
        connection = HTTPConnection(address.hostname, address.port, timeout=20)
        connection.connect()
        return connection

    def send(self, connection: HTTPConnection) -> None:
        messages = [{"role": "user", "content": "hi"}]
        body = json.dumps({"model": self.model, "messages": messages, "max_tokens": 1})
        connection.request("POST", "/v1/chat/completions", body)


def one_after_the_other(deployed: Deployed) -> None:
    for _ in range(CONNECTIONS):
        connection = deployed.connect()
        deployed.send(connection)
        finish(connection)


def all_at_once(deployed: Deployed) -> None:
    connections = [deployed.connect() for _ in range(CONNECTIONS)]
    for connection in connections:
        deployed.send(connection)
    for connection in connections:
        finish(connection)


def finish(connection: HTTPConnection) -> None:
    response = connection.getresponse()
    assert response.status == 200
    response.read()
    connection.close()


@pytest.fixture
def deployed(dynamo: Dynamo, clean_environment: Path) -> Deployed:
    return Deployed(dynamo, clean_environment)


@pytest.mark.parametrize("load", [one_after_the_other, all_at_once])
def test_each_serves_more_than_a_fifth(deployed: Deployed, load: Callable[[Deployed], None]) -> None:
    assert deployed.answered() == [0, 0], "a probe was counted"
    load(deployed)
    shares = deployed.answered()
    assert sum(shares) == CONNECTIONS
    assert min(shares) > FEWEST, shares


def everywhere(deployed: Deployed, name: str) -> float:
    """A metric as the public port tells it, summed over its labels."""
    lines = httpx.get(f"{deployed.url}/metrics", timeout=20.0, trust_env=False).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))


def test_the_metrics_of_any_one_are_those_of_all_and_never_go_back(dynamo: Dynamo, deployed: Deployed) -> None:
    def answered() -> list[float]:
        return [everywhere(deployed, "dynamo_frontend_requests_total") for _ in range(8)]

    def tokens() -> float:
        return everywhere(deployed, "dynamo_frontend_output_tokens_total")

    all_at_once(deployed)
    assert min(deployed.answered()) > 0
    assert answered() == [CONNECTIONS] * 8
    assert (tokens(), everywhere(deployed, "dynamo_frontend_scrape_up")) == (CONNECTIONS, 2)
    hung = dynamo.pid("frontend-0")
    os.kill(hung, signal.SIGSTOP)
    assert set(answered()) == {CONNECTIONS}
    assert everywhere(deployed, "dynamo_frontend_scrape_up") == 1
    os.kill(hung, signal.SIGCONT)
    kill(hung)
    seen = [CONNECTIONS, *answered()]
    dynamo.until("READY", 10.0)
    until(lambda: everywhere(deployed, "dynamo_frontend_scrape_up") == 2, 10.0, "the new one")
    assert ask(deployed.url, deployed.model).status_code == 200
    seen += answered()
    assert seen == sorted(seen)
    assert seen[-1] == CONNECTIONS + 1
    assert httpx.get(f"{deployed.url}/health", trust_env=False).json()["status"] == "healthy"


def test_kill_9_of_one_leaves_the_other_serving(dynamo: Dynamo, deployed: Deployed) -> None:
    kill(dynamo.pid("frontend-0"))
    codes = [ask(deployed.url, deployed.model).status_code for _ in range(20)]
    assert set(codes) == {200}
    dynamo.until("READY", 10.0)
    one = next(s for s in dynamo.status()["services"] if s["name"] == "frontend-0")
    assert (one["restarts"], one["last_exit"]) == (1, "killed by SIGKILL")
    until(lambda: ask(deployed.url, deployed.model) and deployed.answered()[0] > 0, 10.0, "a share of the new one")
