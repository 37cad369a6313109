"""Workers are lost under load: no client sees more of it than a pause."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.integration.answers import Answer, Load
from tests.integration.dynamo import Dynamo, kill, metric
from tests.supervisor.harness import gone, until

pytestmark = pytest.mark.slow

STREAMS = 48
TOKENS = 80
MOCK = """
name  = "migrate"
model = "HuggingFaceTB/SmolLM2-135M-Instruct"
[frontend]
port = 0
[workers.decode]
engine         = "mock"
replicas       = 3
stop_timeout_s = 1.0      # four fifths of it are patience: a worker that is stopped gives its streams up
[workers.decode.options]
speedup_ratio  = 0.2      # 30 ms a token
"""
BODIES = [
    {"model": "HuggingFaceTB/SmolLM2-135M-Instruct", "prompt": list(range(100 + n, 140 + n)), "max_tokens": TOKENS}
    | {"seed": n}
    for n in range(STREAMS)
]


ECHO = """
name  = "echoes"
model = "echo"
[frontend]
port     = 0
replicas = 2
[workers.decode]
engine           = "echo"
replicas         = 3
options.delay_ms = 20
"""
WORDS = " ".join(f"word{n}" for n in range(100))


class Deployed:
    def __init__(self, dynamo: Dynamo, topology: str, home: Path) -> None:
        self.dynamo = dynamo
        started = dynamo.run("up", "-d", dynamo.write(topology))
        assert started.code == 0, started
        status = dynamo.status()
        self.url: str = status["url"]
        self.run = home / status["deployment"] / "run"

    def loaded(self, bodies: list[dict[str, Any]], disturb: Callable[[], None] | None = None) -> list[Answer]:
        async def disturbed() -> None:
            await asyncio.to_thread(disturb or (lambda: None))

        return asyncio.run(Load(self.url, bodies).run(disturbed if disturb else None))

    def moved(self) -> int:
        return int(metric(self.run / "frontend-0.sock", "dynamo_frontend_model_migration_total"))

    def busy(self, worker: str) -> float:
        return metric(self.run / f"{worker}.sock", "dynamo_component_inflight_requests")


@contextmanager
def up(home: Path, topology: str) -> Iterator[Deployed]:
    (home / "run").mkdir(parents=True, mode=0o700)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DYN_", "DYNAMO_"))}
    environ |= {"DYNAMO_HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")}
    deployed = Deployed(Dynamo(home, environ), topology, home)
    yield deployed
    assert deployed.dynamo.run("down").code == 0
    gone(home, 3.0)


@pytest.fixture(scope="module")
def deployed(session_home: Path) -> Iterator[Deployed]:
    with up(session_home / "migrate", MOCK) as deployed:
        yield deployed


@pytest.fixture(scope="module")
def echoes(session_home: Path) -> Iterator[Deployed]:
    with up(session_home / "echoes", ECHO) as deployed:
        yield deployed


@pytest.fixture(scope="module")
def undisturbed(deployed: Deployed) -> list[str]:
    answers = deployed.loaded(BODIES)
    assert_whole(answers, [answer.text for answer in answers])
    assert deployed.moved() == 0
    return [answer.text for answer in answers]


def assert_whole(answers: list[Answer], texts: list[str]) -> None:
    assert [answer.error for answer in answers if answer.error] == []
    assert [answer.text for answer in answers] == texts
    assert {(answer.reason, answer.done) for answer in answers} == {("length", True)}
    usages = {(answer.usage["prompt_tokens"], answer.usage["completion_tokens"]) for answer in answers}
    assert usages == {(40, TOKENS)}


def longest_gap(answers: list[Answer]) -> float:
    return max(max(answer.gaps) for answer in answers)


def test_kill_9_of_a_worker_is_a_short_pause(deployed: Deployed, undisturbed: list[str]) -> None:
    before, pid = deployed.moved(), deployed.dynamo.pid("decode-0")
    answers = deployed.loaded(BODIES, lambda: kill(pid))
    assert_whole(answers, undisturbed)
    moved = [answer for answer in answers if len(answer.workers) > 1]
    assert moved
    assert {answer.workers[0] for answer in moved} == {"decode-0"}, "the new worker was not named"
    assert deployed.moved() - before == len(moved)
    print(f"kill -9: {len(moved)} moved, longest gap {longest_gap(answers):.3f} s")
    assert longest_gap(answers) < 1.5
    deployed.dynamo.until("READY")


def test_a_stopped_worker_is_left_and_comes_back_empty(deployed: Deployed, undisturbed: list[str]) -> None:
    pid = deployed.dynamo.pid("decode-1")
    try:
        answers = deployed.loaded(BODIES, lambda: os.kill(pid, signal.SIGSTOP))
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: deployed.busy("decode-1") == 0, 1.5, "the stopped worker to drop its streams")
    assert_whole(answers, undisturbed)
    assert sum(len(answer.workers) > 1 for answer in answers) > 0
    print(f"SIGSTOP: longest gap {longest_gap(answers):.3f} s")
    assert longest_gap(answers) < 5.0
    until(lambda: "decode-1" in workers_of_some(deployed), 10.0, "the continued worker to be used again")
    deployed.dynamo.until("READY")
    assert deployed.dynamo.pid("decode-1") == pid, "it was restarted"


def workers_of_some(deployed: Deployed) -> set[str]:
    answers = deployed.loaded([body | {"max_tokens": 1} for body in BODIES[:6]])
    return {worker for answer in answers for worker in answer.workers}


@pytest.mark.parametrize("command", [("restart", "decode-0"), ("scale", "decode=2")])
def test_what_is_stopped_in_order_hands_its_streams_over(
    deployed: Deployed, undisturbed: list[str], command: tuple[str, ...]
) -> None:
    answers = deployed.loaded(BODIES, lambda: assert_done(deployed.dynamo, *command))
    assert_whole(answers, undisturbed)
    print(f"{' '.join(command)}: longest gap {longest_gap(answers):.3f} s")
    assert longest_gap(answers) < 1.5
    assert_done(deployed.dynamo, "scale", "decode=3")


def assert_done(dynamo: Dynamo, *command: str) -> None:
    result = dynamo.run(*command)
    assert result.code == 0, result


def test_when_all_workers_are_lost_each_stream_says_so(deployed: Deployed) -> None:
    services = deployed.dynamo.status()["services"]
    pids = [service["pid"] for service in services if service["name"].startswith("decode-")]
    answers = deployed.loaded(BODIES, lambda: [kill(pid) for pid in pids])
    assert all(answer.error for answer in answers)
    assert {answer.reason for answer in answers} == {None}
    assert all("lost tcp://" in answer.error or "cannot connect" in answer.error for answer in answers), answers[0]
    deployed.dynamo.until("READY")


def test_an_echo_goes_on_where_it_was(echoes: Deployed) -> None:
    pid = echoes.dynamo.pid("decode-0")
    bodies = [{"model": "echo", "prompt": f"{n} {WORDS}", "max_tokens": 90} for n in range(12)]
    answers = echoes.loaded(bodies, lambda: kill(pid))
    assert [answer.error for answer in answers if answer.error] == []
    said = " ".join(WORDS.split()[:89])
    assert [answer.text for answer in answers] == [f"{n} {said}" for n in range(12)]
    assert {answer.reason for answer in answers} == {"length"}
    assert {answer.usage["completion_tokens"] for answer in answers} == {90}
    assert sum(len(answer.workers) > 1 for answer in answers) > 0
    echoes.dynamo.until("READY")


def test_a_killed_frontend_cuts_its_own_streams_alone(echoes: Deployed) -> None:
    pid = echoes.dynamo.pid("frontend-0")
    own = []

    def kill_and_connect() -> None:
        own.append(metric(echoes.run / "frontend-0.sock", "dynamo_frontend_inflight_requests"))
        kill(pid)
        for _ in range(200):
            connection = HTTPConnection("127.0.0.1", urlsplit(echoes.url).port, timeout=10)
            connection.request("GET", "/live")
            assert connection.getresponse().status == 200
            connection.close()

    bodies = [{"model": "echo", "prompt": WORDS, "max_tokens": 100} for _ in range(STREAMS)]
    answers = echoes.loaded(bodies, kill_and_connect)
    cut = [answer for answer in answers if answer.error]
    assert 0 < len(cut) == own[0] < STREAMS
    assert {answer.text for answer in answers if not answer.error} == {WORDS}
    until(lambda: [echoes.busy(f"decode-{n}") for n in range(3)] == [0, 0, 0], 3.0, "the cut streams to be stopped")
    echoes.dynamo.until("READY")
