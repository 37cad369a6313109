"""`dynamo frontend` and `dynamo worker` as they are started by hand."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from dynamo_cli.runtime.http.listener import bind
from tests.frontend.processes import Process, models, started, until

pytestmark = pytest.mark.slow
Start = Callable[..., Process]
MOCK = ("worker", "--engine", "mock", "--options", '{"speedup_ratio": 0}')


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with started(tmp_path) as start:
        yield start


def ask(url: str, model: str, **fields: object) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, **fields}
    return httpx.post(f"{url}/v1/chat/completions", json=body, trust_env=False)


@pytest.mark.parametrize("first", ["frontend", "worker"])
def test_by_hand_either_may_start_first(start: Start, first: str) -> None:
    if first == "worker":
        worker = start(*MOCK, "--model-name", "mine")
        until(lambda: "serving mine" in worker.log, worker)
    frontend = start("frontend", "--http-port", "0", "--store-kv", "file")
    url = frontend.url
    if first == "frontend":
        assert models(url) == []
        missing = ask(url, "mine")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")
        worker = start(*MOCK, "--model-name", "mine")
    until(lambda: models(url) == ["mine"], frontend, worker)
    answer = ask(url, "mine").json()
    assert answer["usage"]["completion_tokens"] == 5
    assert answer["choices"][0]["message"]["content"]
    assert worker.stop() == 0
    until(lambda: models(url) == [], frontend)
    gone = ask(url, "mine")
    assert (gone.status_code, gone.json()["error"]["code"]) == (503, "no_instances")
    assert frontend.stop() == 0


def test_requests_survive_the_loss_of_one_of_two_workers(start: Start) -> None:
    frontend = start("frontend", "--http-port", "0", "--router-mode", "least-loaded")
    workers = [start(*MOCK, "--model-name", "mine") for _ in range(2)]
    url = frontend.url
    until(lambda: len(httpx.get(f"{url}/health", trust_env=False).json()["instances"]) == 2, frontend, *workers)
    workers[0].stop(signal.SIGKILL)
    assert [ask(url, "mine").status_code for _ in range(40)] == [200] * 40


def test_sigterm_lets_running_answers_finish(start: Start) -> None:
    slow = ("worker", "--engine", "mock", "--options", '{"speedup_ratio": 1}', "--model-name", "mine")
    frontend, worker = start("frontend", "--http-port", "0"), start(*slow)
    url = frontend.url
    until(lambda: models(url) == ["mine"], frontend, worker)
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(ask(url, "mine", max_tokens=60)))
    thread.start()
    until(lambda: 'inflight_requests{model="mine"} 1\n' in httpx.get(f"{url}/metrics", trust_env=False).text, frontend)
    assert frontend.stop() == 0
    thread.join()
    assert answers[0].json()["usage"]["completion_tokens"] == 60


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["--router-temperature", "warm"], 2, "dynamo: --router-temperature 'warm': want a number, 0 or more"),
        (["--router-mode", "rond-robin"], 2, "dynamo: unknown router mode 'rond-robin'; did you mean round-robin?"),
        (["--listen-fd", "0"], 2, "dynamo: --listen-fd 0: not a socket"),
        (["--http-port", "99999"], 2, "dynamo: --http-port 99999: ports are 0 to 65535"),
    ],
)
def test_a_wrong_command_line_is_one_line(start: Start, arguments: list[str], code: int, line: str) -> None:
    frontend = start("frontend", *arguments)
    assert frontend.popen.wait(20) == code
    assert frontend.log.startswith(line)
    assert frontend.log.count("\n") == 1


def test_a_busy_port_is_one_line_and_exit_code_4(start: Start) -> None:
    with bind("127.0.0.1", 0) as taken:
        frontend = start("frontend", "--http-port", str(taken.getsockname()[1]))
        assert frontend.popen.wait(20) == 4
    assert frontend.log.count("\n") == 1
    assert "is in use" in frontend.log


@pytest.fixture
def two_frontends(start: Start) -> Iterator[str]:
    with bind("127.0.0.1", 0) as listener:
        descriptor = listener.fileno()
        frontends = [start("frontend", "--listen-fd", str(descriptor), pass_fds=[descriptor]) for _ in range(2)]
        url = frontends[0].url
        assert frontends[1].url == url
        yield url


def served_by(connection: socket.socket) -> int:
    """The pid of the process that answers on this connection."""
    connection.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    received = b""
    with connection:
        while chunk := connection.recv(1 << 16):
            received += chunk
    return int(json.loads(received.partition(b"\r\n\r\n")[2])["pid"])


def shares(url: str, connections: int, *, at_once: bool = False) -> Counter[int]:
    """How many of the connections each process serves (0 when only one serves)."""
    address = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
    opened: list[socket.socket] = []
    served: Counter[int] = Counter({0: 0})
    for _ in range(connections):
        opened.append(socket.create_connection(address))
        if not at_once:
            served[served_by(opened.pop())] += 1
    for connection in opened:
        served[served_by(connection)] += 1
    if len(served) > 2:
        del served[0]
    return served


@pytest.mark.alone
@pytest.mark.parametrize("at_once", [False, True])
def test_two_frontends_share_the_connections(two_frontends: str, at_once: bool) -> None:
    served = shares(two_frontends, 200, at_once=at_once)
    assert len(served) == 2
    assert min(served.values()) > 40, served
