"""A router process that dies or hangs under load: nobody notices but the other requests' prefixes."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.dynamo import Dynamo, kill, metric
from tests.integration.test_replica_sync import REQUESTS, SMALL, Deployed, cached_share, deployed
from tests.supervisor.harness import until

pytestmark = pytest.mark.slow
ROUTED = "dynamo_component_router_requests_total"
FRONTENDS = (0, 1)


@pytest.fixture
def home(clean_environment: Path) -> Path:
    return clean_environment


def asks(deployment: Deployed) -> list[dict[str, Any]]:
    return [deployment.view(frontend)["asks"] for frontend in FRONTENDS]


def asked(deployment: Deployed, outcome: str) -> int:
    """Requests of all frontends with this outcome."""
    return sum(one[outcome] for one in asks(deployment))


def all_ask(deployment: Deployed) -> bool:
    return all(one["router"] for one in asks(deployment))


def test_kill_9_of_the_router_under_load_fails_nothing(dynamo: Dynamo, home: Path) -> None:
    """`cached_share` needs the usage of every answer: an error would fail it."""
    with deployed(dynamo, home, SMALL, topology="router_service") as deployment:
        until(lambda: all_ask(deployment), 10.0, "both frontends to ask")
        pid = dynamo.pid("router-0")
        with ThreadPoolExecutor(1) as thread:
            load = thread.submit(cached_share, deployment)
            until(lambda: asked(deployment, "advised") >= REQUESTS // 4, 20.0, "a quarter of the requests")
            kill(pid)
            through_death = load.result(60)
        assert sum(asked(deployment, outcome) for outcome in ("absent", "lost", "late")) > 0
        dynamo.until("READY", 20.0)
        assert dynamo.pid("router-0") != pid
        until(lambda: all_ask(deployment), 10.0, "both frontends to ask the new one")
        before = asked(deployment, "advised")
        afterwards = cached_share(deployment)
        assert asked(deployment, "advised") >= before + REQUESTS // 2
        assert metric(home / "router_service" / "run" / "router-0.sock", ROUTED) >= REQUESTS // 2
        until(lambda: not deployment.requests(0) and not deployment.requests(1), 5.0, "the end of all requests")
    assert min(through_death, afterwards) > 0.5


def test_a_router_that_hangs_costs_a_moment_once(dynamo: Dynamo, home: Path) -> None:
    """Not the first seconds of each request: whoever was late is not waited for again until it answers pings."""
    with deployed(dynamo, home, SMALL, topology="router_service") as deployment:
        until(lambda: all_ask(deployment), 10.0, "both frontends to ask")
        pid = dynamo.pid("router-0")
        os.kill(pid, signal.SIGSTOP)
        try:
            for number in range(24):
                assert deployment.ask(f"{number} and so on", 2)["usage"]["completion_tokens"] == 2
            assert 1 <= asked(deployment, "late") <= len(FRONTENDS), "the others did not wait for it"
            assert not any(one["router"] for one in asks(deployment) if one["late"])
        finally:
            os.kill(pid, signal.SIGCONT)
        before = asked(deployment, "advised")

        def advised_again() -> bool:
            assert deployment.ask("and now", 2)["usage"]["completion_tokens"] == 2
            return asked(deployment, "advised") > before

        until(advised_again, 20.0, "it to be asked again")
