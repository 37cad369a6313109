"""What a person who waits for `up -d` is told."""

from __future__ import annotations

from dynamo_cli.runtime.control import DeploymentStatus, Progress, ServiceStatus
from dynamo_cli.supervisor.waiting import Waiting


def told(waiting: Waiting, uptime_s: float = 5.0, **fields: object) -> list[str]:
    service = ServiceStatus(name="decode-0", kind="worker", **fields)  # type: ignore[arg-type]
    status = DeploymentStatus(deployment="d", state="STARTING", uptime_s=uptime_s, services=[service])
    return list(waiting.lines(status))


def test_a_quick_start_needs_no_words() -> None:
    assert told(Waiting(), uptime_s=1.0, reason="starting") == []


def test_each_phase_and_each_step_of_it_once() -> None:
    waiting = Waiting()
    lines = told(waiting, reason="starting") + told(waiting, reason="starting")
    for done in range(0, 41):
        share = Progress(done * 2.5, done, 40)
        lines += told(waiting, reason=f"weights {done}/40", phase="weights", progress=share)
    lines += told(waiting, reason="KV cache", phase="KV cache")
    lines += told(waiting, reason="", ready=True, state="READY")
    assert lines == [
        "decode-0: starting",
        *(f"decode-0: weights {done}/40" for done in range(0, 41, 4)),
        "decode-0: KV cache",
    ]
