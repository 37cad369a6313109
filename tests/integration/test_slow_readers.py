"""Readers that take their 10,000 tokens slowly cost neither memory nor other clients' time."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from dynamo_cli.hub.catalogue import DEFAULT_MODEL
from dynamo_cli.runtime.http.listener import bind
from dynamo_cli.runtime.paths import DeploymentPaths
from tests.frontend.processes import Process, models, started
from tests.integration.dynamo import ask, metric
from tests.integration.slow import SlowReader, text_of
from tests.supervisor.harness import until

pytestmark = pytest.mark.slow

READERS = 8
TOKENS = 10_000
GROWTH_BYTES = 3 << 20
OTHERS_WAIT_S = 1.0
WORKER = ("mocker", "--model", DEFAULT_MODEL, "--max-model-len", "20000", "--options", '{"speedup_ratio": 0}')
BODY = {
    "model": DEFAULT_MODEL,
    "messages": [{"role": "user", "content": "Tell me all."}],
    "max_tokens": TOKENS,
    "stream_options": {"include_usage": True},
}


class Running(NamedTuple):
    url: str
    frontend: psutil.Process
    worker: psutil.Process

    @property
    def in_flight(self) -> int:
        admin = DeploymentPaths("local").runtime_dir / f"pid-{self.worker.pid}.sock"
        return int(metric(admin, "dynamo_component_inflight_requests"))

    def stands_still(self) -> bool:
        """Whether both do little more than tell each other that they live."""
        before = self._cpu_s()
        time.sleep(0.2)
        return self._cpu_s() - before < 0.05

    def _cpu_s(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in (self.frontend, self.worker))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """The kernel holds next to nothing of an answer: what is not read is the frontend's to hold, or to hold back."""
    with started(tmp_path) as start, bind("127.0.0.1", 0) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 << 10)
        frontend = start("frontend", "--listen-fd", str(listener.fileno()), pass_fds=[listener.fileno()])
        worker = start(*WORKER)
        _await_model(frontend, worker)
        yield Running(frontend.url, psutil.Process(frontend.popen.pid), psutil.Process(worker.popen.pid))


def _await_model(frontend: Process, worker: Process) -> None:
    url = frontend.url
    until(lambda: models(url) == [DEFAULT_MODEL], 20, f"the model\n{frontend.log}\n{worker.log}")


def test_slow_readers_of_10000_tokens(running: Running) -> None:
    expected = text_of(SlowReader(running.url, BODY).rest())
    assert expected[1] == TOKENS
    # Half of them is more than all buffers on the way hold: after it nothing may grow with the length.
    for reader in hold(running, TOKENS // 2):
        reader.rest()
    before = running.frontend.memory_info().rss
    readers = hold(running, TOKENS)
    growth = running.frontend.memory_info().rss - before
    assert growth < GROWTH_BYTES

    began = time.monotonic()
    assert ask(running.url, DEFAULT_MODEL).status_code == 200
    assert time.monotonic() - began < OTHERS_WAIT_S
    assert [text_of(reader.rest()) for reader in readers] == [expected] * READERS
    until(lambda: not running.in_flight)


def hold(running: Running, tokens: int) -> list[SlowReader]:
    """Readers that stopped after the head of their answers, with a worker that waits for them."""
    readers = [SlowReader(running.url, {**BODY, "max_tokens": tokens}) for _ in range(READERS)]
    until(running.stands_still, 30, "a worker that is held back")
    assert running.in_flight == READERS
    return readers
