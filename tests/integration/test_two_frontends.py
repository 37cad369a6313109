"""Frontends that share a port share the connections, and stand in for each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

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


def test_kill_9_of_one_leaves_the_other_serving(dynamo: Dynamo, deployed: Deployed) -> None:
    kill(dynamo.pid("frontend-0"))
    codes = [ask(deployed.url, deployed.model).status_code for _ in range(20)]
    assert set(codes) == {200}
    dynamo.until("READY", 10.0)
    one = next(s for s in dynamo.status()["services"] if s["name"] == "frontend-0")
    assert (one["restarts"], one["last_exit"]) == (1, "killed by SIGKILL")
    until(lambda: ask(deployed.url, deployed.model) and deployed.answered()[0] > 0, 10.0, "a share of the new one")
