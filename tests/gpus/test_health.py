"""What a person is told of the driver, read in a child process that loads the fake one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from dynamo_cli.gpus.gpu import Holder
from dynamo_cli.gpus.health import Driver
from tests.gpus.fake import GIB, driver_environment


def read(environment: dict[str, str]) -> Driver:
    command = [sys.executable, "-W", "error", "-m", "dynamo_cli.gpus"]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert not done.stderr
    return msgspec.json.decode(done.stdout, type=Driver)


def test_the_driver_and_a_healthy_gpu(driver: Path) -> None:
    found = read(driver_environment(driver, "GPU-aaa:10:4000042+4000007"))
    assert (found.reason, found.version, found.cuda, found.count) == ("", "550.54.15", "12.4", 1)
    (gpu,) = found.gpus
    assert gpu.gpu.uuid == "GPU-aaa"
    assert {Holder(each.pid, each.memory) for each in gpu.gpu.holders} == {Holder(4000042, GIB), Holder(4000007, GIB)}
    assert (gpu.utilisation, gpu.persistence) == (37, False)
    assert (gpu.gpu.mig, gpu.ecc_errors, gpu.slowed) == (False, 0, ())


def test_an_ill_gpu(driver: Path) -> None:
    (gpu,) = read(driver_environment(driver, "GPU-aaa:10", FAKE_NVML_ILL="mig ecc hot")).gpus
    assert (gpu.gpu.mig, gpu.ecc_errors, gpu.slowed) == (True, 3, ("it is too hot",))


def test_a_lost_gpu_is_counted(driver: Path) -> None:
    found = read(driver_environment(driver, "lost:80", "GPU-bbb:80"))
    assert (found.count, [each.gpu.index for each in found.gpus]) == (2, [1])


@pytest.mark.parametrize(("code", "broken"), [("9", True), ("12", False)])
def test_whether_a_driver_should_answer(driver: Path, code: str, broken: bool) -> None:
    found = read(driver_environment(driver, "GPU-aaa:1", FAKE_NVML_INIT=code))
    assert found.reason and found.broken is broken


def test_the_inventory_is_that_of_planning(driver: Path) -> None:
    found = read(driver_environment(driver, "GPU-aaa:1", "GPU-bbb:2"))
    assert [gpu.uuid for gpu in found.inventory({"CUDA_VISIBLE_DEVICES": "1"}).gpus] == ["GPU-bbb"]
    assert Driver(reason="no NVIDIA driver").inventory({}).reason == "no NVIDIA driver"
