from __future__ import annotations

from dynamo_cli.runtime.control import ServiceState, ServiceStatus
from dynamo_cli.supervisor.health import Verdict, judge

MODELS = ("m",)


def service(name: str, state: ServiceState, reason: str = "", model: str = "m") -> ServiceStatus:
    kind = "frontend" if name.startswith("frontend") else "worker"
    model = "" if kind == "frontend" else model
    return ServiceStatus(name=name, kind=kind, model=model, state=state, reason=reason, ready=state == "READY")


FRONTEND = service("frontend-0", "READY")
READY = service("decode-0", "READY")
DEAD = service("decode-1", "FAILED", "killed by SIGKILL")
COMING = service("decode-1", "BACKOFF", "exited with code 1")


def test_ready_only_when_every_model_has_answered() -> None:
    assert judge([FRONTEND, READY], MODELS, {"m"}, False) == Verdict("READY")
    assert judge([FRONTEND, READY], MODELS, set(), False) == Verdict("STARTING", "waiting for a first token of m")
    assert judge([FRONTEND, READY], MODELS, set(), True).state == "DEGRADED"


def test_a_service_in_trouble_degrades_what_was_ready_and_is_named() -> None:
    assert judge([FRONTEND, READY, COMING], MODELS, {"m"}, True) == Verdict("DEGRADED", "decode-1: exited with code 1")
    assert judge([FRONTEND, READY, COMING], MODELS, {"m"}, False).state == "STARTING"


def test_degraded_while_another_worker_of_the_model_serves() -> None:
    assert judge([FRONTEND, READY, DEAD], MODELS, {"m"}, True).state == "DEGRADED"


def test_degraded_not_starting_when_what_is_missing_will_never_come() -> None:
    assert judge([FRONTEND, READY, DEAD], MODELS, {"m"}, False).state == "DEGRADED"
    assert judge([FRONTEND, READY, DEAD], MODELS, set(), False).state == "STARTING"


def test_failed_when_no_worker_of_a_model_can_come_back() -> None:
    assert judge([FRONTEND, DEAD], MODELS, set(), False) == Verdict("FAILED", "decode-1: killed by SIGKILL")
    assert judge([FRONTEND, DEAD], MODELS, set(), True).state == "FAILED"


def test_one_of_two_models_lost_fails_a_start_but_only_degrades_what_served() -> None:
    services = [FRONTEND, READY, service("big-0", "FAILED", "exited with code 5", model="n")]
    assert judge(services, ("m", "n"), {"m"}, False).state == "FAILED"
    assert judge(services, ("m", "n"), {"m"}, True).state == "DEGRADED"


def test_failed_when_all_frontends_are_gone() -> None:
    assert judge([service("frontend-0", "FAILED"), READY], MODELS, {"m"}, True).state == "FAILED"


def test_custom_processes_without_a_model() -> None:
    job = service("job-0", "READY", model="")
    assert judge([job], (), set(), False).state == "READY"
    ended = service("job-0", "STOPPED", "exited with code 0; ended by itself", model="")
    assert judge([ended], (), set(), False) == Verdict("FAILED", "job-0: exited with code 0; ended by itself")


def test_many_in_trouble_are_counted() -> None:
    reason = judge([FRONTEND, *[service(f"decode-{i}", "STARTING") for i in range(6)]], MODELS, set(), False).reason
    assert reason.startswith("decode-0: starting; decode-1: starting; ")
    assert reason.endswith("; and 3 more")


def test_a_task_that_is_done_is_not_missed() -> None:
    task = ServiceStatus(name="setup", kind="service", state="STOPPED", done=True)
    assert judge([FRONTEND, READY, task], MODELS, {"m"}, False).state == "READY"
    failed = ServiceStatus(name="setup", kind="service", state="FAILED", reason="exited with code 1")
    assert judge([FRONTEND, READY, failed], MODELS, {"m"}, True) == Verdict("DEGRADED", "setup: exited with code 1")


def test_what_somebody_stopped_degrades_but_never_fails() -> None:
    stopped = ServiceStatus(
        name="decode-0", kind="worker", model="m", state="STOPPED", by_hand=True, reason="stopped by hand"
    )
    assert judge([FRONTEND, stopped], MODELS, set(), True) == Verdict("DEGRADED", "decode-0: stopped by hand")


def test_services_alone() -> None:
    serving = ServiceStatus(name="web", kind="service", state="READY", ready=True)
    assert judge([serving], (), set(), False).state == "READY"
    lost = ServiceStatus(name="web", kind="service", state="FAILED", reason="gave up")
    assert judge([lost], (), set(), True) == Verdict("FAILED", "web: gave up")
