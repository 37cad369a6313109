"""The reference's quickstart: a frontend and a worker in two terminals, no supervisor."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from dynamo_cli.hub.catalogue import DEFAULT_MODEL
from tests.frontend.processes import Process, models, started, until
from tests.integration.dynamo import EXECUTABLE, ask

pytestmark = pytest.mark.slow
Start = Callable[..., Process]
TOOL = (str(EXECUTABLE),)
FRONTEND = (sys.executable, "-m", "dynamo_cli.frontend")
WORKERS = (sys.executable, "-m", "dynamo_cli.workers")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with started(tmp_path) as start:
        yield start


def serves(frontend: Process, worker: Process, name: str) -> str:
    """The frontend's URL once the model is there."""
    url = frontend.url
    until(lambda: models(url) == [name], frontend, worker)
    return url


def test_a_frontend_then_a_worker_with_a_real_model(start: Start) -> None:
    frontend = start("frontend", "--http-port", "0", "--store-kv", "file", program=TOOL)
    worker = start(
        *("worker", "--engine", "llamacpp", "--model-path", DEFAULT_MODEL, "--store-kv", "file"),
        program=TOOL,
        env={**os.environ, "DYN_LLAMACPP_THREADS": "1"},
    )
    url = serves(frontend, worker, DEFAULT_MODEL)
    answer = ask(url, DEFAULT_MODEL, "What color is the sky?", temperature=0, max_tokens=20).json()
    assert "blue" in answer["choices"][0]["message"]["content"]
    assert (worker.stop(), frontend.stop()) == (0, 0)


def test_a_worker_then_a_frontend_as_modules_set_by_the_environment(start: Start, tmp_path: Path) -> None:
    root = tmp_path / "kv"
    environ = {**os.environ, "DYN_STORE_KV": "file", "DYN_FILE_KV": str(root), "DYN_HTTP_PORT": "0"}
    worker = start("--engine", "mock", "--model", DEFAULT_MODEL, "--model-name", "mine", program=WORKERS, env=environ)
    until(lambda: "serving mine" in worker.log, worker)
    assert any(root.iterdir())
    frontend = start(program=FRONTEND, env=environ)
    url = serves(frontend, worker, "mine")
    assert ask(url, "mine").json()["usage"]["completion_tokens"] == 8
    assert (frontend.stop(), worker.stop()) == (0, 0)


def test_a_mocker_in_another_namespace(start: Start) -> None:
    frontend = start("frontend", "--http-port", "0", "--namespace", "mine", "--discovery-backend", "file", program=TOOL)
    stranger = start("mocker", "--model-path", DEFAULT_MODEL, "--model-name", "not-seen", program=TOOL)
    until(lambda: "serving not-seen" in stranger.log, stranger)
    worker = start("mocker", "--model", DEFAULT_MODEL, "--namespace", "mine", program=TOOL)
    url = serves(frontend, worker, DEFAULT_MODEL)
    assert ask(url, DEFAULT_MODEL).status_code == 200
    assert (worker.stop(), stranger.stop(), frontend.stop()) == (0, 0, 0)


def test_a_frontend_that_asks_a_router(start: Start) -> None:
    router = start("router", "--endpoint", "dynamo.backend.generate", "--router-block-size", "32", program=TOOL)
    frontend = start(
        *("frontend", "--http-port", "0", "--router-mode", "kv", "--router-service", "--kv-cache-block-size", "32"),
        program=TOOL,
    )
    worker = start("mocker", "--model", DEFAULT_MODEL, program=TOOL)
    until(lambda: "serving at dynamo.router as" in router.log, router)
    url = serves(frontend, worker, DEFAULT_MODEL)
    advised = 'dynamo_component_router_service_requests_total{outcome="advised"}'

    def asks() -> bool:
        assert ask(url, DEFAULT_MODEL).status_code == 200
        return any(line.startswith(advised) and not line.endswith(" 0") for line in told(url))

    until(asks, frontend, router)
    assert router.stop() == 0
    assert ask(url, DEFAULT_MODEL).status_code == 200
    assert (worker.stop(), frontend.stop()) == (0, 0)


def told(url: str) -> list[str]:
    return httpx.get(f"{url}/metrics", trust_env=False).text.splitlines()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--endpoint", "backend"), "dynamo: endpoint 'backend' is not of the form namespace.component.endpoint\n"),
        (
            ("--router-block-size", "0"),
            "dynamo: --kv-cache-block-size '0': want a whole number, ",
        ),
        (("--router-queue-threshold", "2"), "dynamo: --router-queue-threshold: the router keeps no queue; "),
    ],
)
def test_what_is_wrong_with_a_routers_command_line(start: Start, words: tuple[str, ...], line: str) -> None:
    router = start("router", *words, program=TOOL)
    assert router.popen.wait(20) == 2
    assert router.log.startswith(line) and router.log.count("\n") == 1
