"""What a person who waits for `up` is told."""

from __future__ import annotations

from io import StringIO

from dynamo_cli.runtime.control import DeploymentStatus, Progress, ServiceStatus
from dynamo_cli.supervisor.view import PlainView
from dynamo_cli.supervisor.waiting import EVERY_S, MOST, QUIET_S, Waiting


def status(uptime_s: float, count: int = 1, **fields: object) -> DeploymentStatus:
    services = [ServiceStatus(name=f"decode-{i}", kind="worker", **fields) for i in range(count)]  # type: ignore[arg-type]
    return DeploymentStatus(deployment="d", state="STARTING", uptime_s=uptime_s, services=services)


def test_a_quick_start_needs_no_words() -> None:
    assert list(Waiting().lines(status(1.0, reason="starting"))) == []


def test_each_phase_and_each_step_of_it_once() -> None:
    waiting, lines = Waiting(), list[str]()

    def at(uptime_s: float, **fields: object) -> None:
        lines.extend(waiting.lines(status(uptime_s, **fields)))

    at(5, reason="starting")
    at(9, reason="starting")
    for done in range(0, 41):
        share = Progress(done * 2.5, done, 40)
        at(10 + done * EVERY_S, reason=f"weights {done}/40", phase="weights", progress=share)
    at(200, reason="KV cache", phase="KV cache")
    at(300, reason="", ready=True, state="READY")
    assert lines == [
        "decode-0: starting",
        *(f"decode-0: weights {done}/40" for done in range(0, 41, 4)),
        "decode-0: KV cache",
    ]


def test_many_processes_that_come_on_all_the_time_are_no_flood() -> None:
    waiting, lines = Waiting(), list[str]()
    for tenth in range(600):
        lines += waiting.lines(status(tenth / 10, count=64, reason=f"weights {tenth}/600"))
    assert len(lines) <= (60 / EVERY_S + 1) * (MOST + 1)
    assert lines[: MOST + 1] == [*(f"decode-{i}: weights {int(QUIET_S * 10)}/600" for i in range(MOST)), "and 60 more"]
    assert lines[-2].startswith("decode-3: weights 5")


def test_lines_to_a_file_tell_it_too() -> None:
    out = StringIO()
    view = PlainView(["decode-0"], out, None)
    view.status(status(5, reason="weights 3/8"))
    view.status(status(5.1, reason="weights 3/8"))
    assert out.getvalue() == "dynamo     | decode-0: weights 3/8\n"
