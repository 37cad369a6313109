"""How busy GPUs are, asked of a driver that is a stand-in."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dynamo_cli.gpus import meter as metering
from dynamo_cli.gpus.meter import GpuMeter
from dynamo_cli.supervisor.processes import identify
from tests.gpus.fake import GIB, driver_environment


def with_driver(monkeypatch: pytest.MonkeyPatch, driver: Path, *gpus: str, **more: str) -> None:
    for name, value in driver_environment(driver, *gpus, **more).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(metering, "library_there", lambda: True)


def test_one_process_answers_again_and_again(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_driver(monkeypatch, driver, "GPU-a:50", "GPU-b:80")
    meter = GpuMeter()
    try:
        one, two = meter.measure(["GPU-b", "GPU-a"])
        assert (one.uuid, one.index, two.uuid, two.index) == ("GPU-b", 1, "GPU-a", 0)
        assert (two.memory_used, two.memory_total) == (30 * GIB, 80 * GIB)
        assert (two.utilization, two.temperature_c, two.power_w) == (0.37, 61, 250.5)
        (pid,) = meter.pids
        assert [each.uuid for each in meter.measure(["GPU-a", "GPU-gone"])] == ["GPU-a"]
        assert meter.pids == {pid} and meter.problem == ""
    finally:
        meter.close()
    assert meter.pids == set() and identify(pid) is None


def test_of_a_slice_there_is_memory_and_the_temperature_of_its_gpu(
    driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_driver(monkeypatch, driver, "GPU-a:80", FAKE_NVML_MIG="0:3g.40gb+1g.10gb")
    meter = GpuMeter()
    try:
        (part,) = meter.measure(["MIG-0-1"])
    finally:
        meter.close()
    assert (part.index, part.memory_total, part.temperature_c) == (0, 10 * GIB, 61)
    assert part.utilization is None and part.power_w is None


def test_what_a_driver_does_not_tell_is_not_known(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    denied = "nvmlDeviceGetTemperature nvmlDeviceGetPowerUsage nvmlDeviceGetName"
    with_driver(monkeypatch, driver, "GPU-a:80", FAKE_NVML_DENIED=denied)
    meter = GpuMeter()
    try:
        (gpu,) = meter.measure(["GPU-a"])
    finally:
        meter.close()
    assert (gpu.name, gpu.temperature_c, gpu.power_w, gpu.utilization) == ("", None, None, 0.37)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("how", "words"), [("hang", "did not answer within 0.5 s"), ("crash", "cannot be asked"), ("3", "cannot be asked")]
)
def test_a_driver_that_does_not_answer_is_left_alone(
    driver: Path, monkeypatch: pytest.MonkeyPatch, how: str, words: str
) -> None:
    with_driver(monkeypatch, driver, "GPU-a:80", FAKE_NVML_INIT=how)
    meter = GpuMeter(patience_s=0.5 if how == "hang" else 10.0)
    assert meter.measure(["GPU-a"]) == []
    assert words in meter.problem
    assert meter.pids == set()
    began = time.monotonic()
    assert meter.measure(["GPU-a"]) == [] and time.monotonic() - began < 0.1
    meter.close()


def test_where_there_is_no_driver_nobody_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "library_there", lambda: False)
    meter = GpuMeter()
    assert meter.measure(["GPU-a"]) == [] and meter.pids == set()
    assert meter.problem == "no NVIDIA driver"
    meter.close()
