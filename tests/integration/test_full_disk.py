"""Discovery on a disk that is full: nobody gives up, and what serves goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dynamo_cli.bench.chaos.skipped import Skipped
from dynamo_cli.bench.chaos.small_disk import SmallDisk, small_disk
from tests.integration.dynamo import TOPOLOGIES, Dynamo, ask, kill
from tests.supervisor.harness import until

pytestmark = pytest.mark.slow

WAITS = "No space left on device; waiting for room"


@pytest.fixture
def disk(clean_environment: Path) -> Iterator[SmallDisk]:
    """Of the discovery of echo.toml."""
    try:
        with small_disk(clean_environment / "echo" / "discovery", 1024) as disk:
            yield disk
    except Skipped as skipped:
        pytest.skip(str(skipped))


def test_workers_and_frontends_wait_for_room(disk: SmallDisk, dynamo: Dynamo, clean_environment: Path) -> None:
    settings = ("frontend.port=0", "workers.decode.replicas=2")
    sets = [word for value in settings for word in ("--set", value)]
    started = dynamo.run("up", "-d", str(TOPOLOGIES / "echo.toml"), *sets)
    assert started.code == 0, started
    status = dynamo.status()
    url, model = status["url"], status["models"][0]
    log = clean_environment / "echo" / "logs" / "decode-0.log"
    with kept_full(disk):
        for pid in [dynamo.pid(service) for service in ("decode-0", "frontend-0")]:
            kill(pid)
        until(lambda: WAITS in log.read_text(), 10.0, "the worker to wait")
        until(lambda: service_of(dynamo, "decode-0")["reason"] == "registering", 10.0, "the supervisor to see it")
        until(lambda: service_of(dynamo, "frontend-0")["ready"], 10.0, "the frontend, which needs no room to serve")
        assert ask(url, model).status_code == 200
        assert service_of(dynamo, "decode-0")["restarts"] == 1
        assert dynamo.run("stop", "decode-0").code == 0
        assert service_of(dynamo, "decode-0")["exit_code"] == 0, "it waited for room and not for its end"
        assert dynamo.run("start", "decode-0", "--timeout", "1").code == 3
    disk.empty()
    dynamo.until("READY")
    assert ask(url, model).status_code == 200


@contextmanager
def kept_full(disk: SmallDisk) -> Iterator[None]:
    """What the dead leave in discovery is removed, which makes room: it is taken at once."""
    over = threading.Event()

    def fill() -> None:
        while not over.wait(0.002):
            disk.fill()

    filling = threading.Thread(target=fill)
    filling.start()
    try:
        yield
    finally:
        over.set()
        filling.join()


def service_of(dynamo: Dynamo, name: str) -> dict[str, object]:
    return next(service for service in dynamo.status()["services"] if service["name"] == name)
