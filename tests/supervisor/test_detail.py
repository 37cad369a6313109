"""What is told of one service: its command, its environment without secrets, and its last probes."""

from __future__ import annotations

import pytest

from dynamo_cli.errors import UsageError
from dynamo_cli.protocol.detail import ProbeResult
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.detail import told
from dynamo_cli.supervisor.outside_probes import Answer
from dynamo_cli.supervisor.probe_history import KEPT, ProbeHistory
from tests.supervisor.harness import detached
from tests.supervisor.plans import frontend, plan, worker


class Clock:
    def __init__(self) -> None:
        self.now = 10.0

    def __call__(self) -> float:
        return self.now


async def answer_after(clock: Clock, seconds: float, answer: Answer) -> Answer:
    clock.now += seconds
    return answer


async def test_a_probe_is_remembered_with_the_time_it_took() -> None:
    clock = Clock()
    history = ProbeHistory(clock, lambda: 1000.0)
    asked = answer_after(clock, 0.25, Answer(False, "loading", True))
    assert await history.note("decode-0", "admin", asked) == Answer(False, "loading", True)
    assert history.of("decode-0") == [
        ProbeResult(time=1000.0, kind="admin", passed=False, took_ms=250.0, reason="loading")
    ]


async def test_the_last_probes_are_kept_and_those_of_services_that_are_gone_are_not() -> None:
    clock = Clock()
    history = ProbeHistory(clock, clock)
    for _ in range(KEPT + 5):
        await history.note("decode-0", "admin", answer_after(clock, 1.0, Answer(True, "serving")))
    await history.note("decode-1", "admin", answer_after(clock, 1.0, Answer(True)))
    history.keep(["decode-0"])
    assert history.of("decode-1") == []
    kept = history.of("decode-0")
    assert [result.time for result in kept] == [float(10 + i) for i in range(6, KEPT + 6)]
    assert all(result.passed and result.reason == "" for result in kept)


def test_a_secret_is_covered_wherever_it_appears() -> None:
    spec = worker(env={"API_KEY": "s3cr3t-value", "PLAIN": "1", "COPY": "x=s3cr3t-value"}, cwd="/tmp")
    command = ["engine", "--api-key", "abcdef", "--header", "s3cr3t-value"]
    inherited = {"HF_TOKEN": "hf_0123456789abcdef", "HF_HOME": "/models", "UNRELATED": "private", "PLAIN": "0"}
    detail = told(spec, command, spec.env, inherited, DeploymentPaths("agg"), [])
    assert detail.argv == ["engine", "--api-key", "***", "--header", "***"]
    assert detail.env == {"API_KEY": "***", "PLAIN": "1", "COPY": "x=***"}
    assert detail.inherited == {"HF_HOME": "/models", "HF_TOKEN": "***"}
    assert (detail.cwd, detail.asked, detail.log.endswith("/agg/logs/decode-0.log")) == ("/tmp", "admin", True)


def test_a_running_supervisor_tells_of_its_services() -> None:
    with detached(plan(frontend(), worker(ports={"system": 4711}))) as running:
        detail = running.client.detail("decode-0")
        assert detail.argv == list(worker().argv)
        assert detail.ports == {"system": 4711}
        assert detail.env["DYNAMO_SERVICE"] == "decode-0"
        assert detail.inherited["PYTHONUNBUFFERED"] == "1"
        assert detail.probes[-1].passed
        assert {probe.kind for probe in detail.probes} == {"admin"}
        with pytest.raises(UsageError, match="test has no service decode-7"):
            running.client.detail("decode-7")
