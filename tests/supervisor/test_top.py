"""The table of `dynamo top`, at any width."""

from __future__ import annotations

import pytest

from dynamo_cli.protocol.measures import GpuMeasures, ProcessUse, Traffic, WorkerMeasures
from dynamo_cli.runtime.control import DeploymentStatus, ServiceStatus
from dynamo_cli.supervisor.top import block

BUSY = WorkerMeasures(
    **{"running": 12, "waiting": 3, "kv_usage": 0.42, "hit": 0.875, "requests_s": 3.27},
    **{"prompt_tokens_s": 6644.9, "output_tokens_s": 1250.0, "ttft_p50_s": 0.052},
)


def status(**fields: object) -> DeploymentStatus:
    services = [
        ServiceStatus(
            name="frontend-0", kind="frontend", state="READY", pid=1, use=ProcessUse(cpu=0.04, memory=75 * 10**6)
        ),
        ServiceStatus(
            **{"name": "prefill-0", "kind": "worker", "engine": "mock", "role": "prefill", "state": "READY", "pid": 2},
            use=ProcessUse(cpu=7.5, memory=12 * 10**9),
            serving=BUSY,
        ),
        ServiceStatus(name="decode-0", kind="worker", engine="mock", role="decode", state="BACKOFF", restarts=2),
    ]
    return DeploymentStatus(deployment="agg", state="READY", services=services, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    gpus = [GpuMeasures(index=0, name="NVIDIA H100 80GB HBM3", memory_used=1, memory_total=2, services=["prefill-0"])]
    lines = block(status(traffic=Traffic(requests_total=3), measured_gpus=gpus), width)
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("agg  READY") and any(line.startswith("prefill-0") for line in lines)


def test_a_narrow_terminal_has_what_matters_most() -> None:
    head, frontend, prefill, decode = block(status(), 80)[-4:]
    assert head.split() == ["NAME", "KIND", "STATE", "CPU", "MEM", "RUN", "WAIT", "KV", "OUT/S", "TTFT"]
    assert frontend.split() == ["frontend-0", "frontend", "READY", "4%", "75", "MB", *["-"] * 5]
    assert prefill.split()[:8] == ["prefill-0", "mock", "prefill", "READY", "750%", "12", "GB", "12"]
    assert decode.split() == ["decode-0", "mock", "decode", "BACKOFF", *["-"] * 7]


def test_a_wide_one_has_all() -> None:
    head, _, prefill, decode = block(status(), 200)[-4:]
    assert head.split()[-7:] == ["KV", "HIT", "REQ/S", "IN/S", "OUT/S", "TTFT", "RESTARTS"]
    assert prefill.split()[-8:] == ["42%", "88%", "3.3", "6,645", "1,250", "52", "ms", "0"]
    assert decode.split()[-1] == "2"


def test_columns_of_which_nothing_is_known_are_left_out() -> None:
    quiet = status()
    for service in quiet.services:
        service.serving = service.use = None
    assert block(quiet, 200)[-4].split() == ["NAME", "KIND", "STATE", "RUN", "RESTARTS"]
