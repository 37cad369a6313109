"""The adapter in a child process that loads the fake driver, or none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from dynamo_cli.gpus.gpu import Gpu, GpuInventory
from tests.gpus.fake import GIB, build_driver, driver_environment

READ = """
import sys, msgspec
from dynamo_cli.gpus.nvml import read_gpus
sys.stdout.buffer.write(msgspec.json.encode(read_gpus()))
"""


def read(environment: dict[str, str]) -> GpuInventory:
    done = subprocess.run([sys.executable, "-W", "error", "-c", READ], env=environment, capture_output=True, check=True)
    assert not done.stderr
    return msgspec.json.decode(done.stdout, type=GpuInventory)


def test_what_the_driver_tells(driver: Path) -> None:
    assert read(driver_environment(driver, "GPU-aaa:10:42+7", "GPU-bbb:80")) == GpuInventory(
        (
            Gpu(
                index=0, uuid="GPU-aaa", name="Fake 80", memory_total=80 * GIB, memory_free=10 * GIB, processes=(7, 42)
            ),
            Gpu(index=1, uuid="GPU-bbb", name="Fake 80", memory_total=80 * GIB, memory_free=80 * GIB),
        )
    )


def test_no_driver(tmp_path: Path) -> None:
    # A library that cannot be loaded hides a real driver as well.
    (tmp_path / "libnvidia-ml.so.1").write_bytes(b"not a library")
    assert read(driver_environment(tmp_path)) == GpuInventory(reason="no NVIDIA driver")


def test_a_driver_without_gpus(driver: Path) -> None:
    assert read(driver_environment(driver)) == GpuInventory(reason="the NVIDIA driver finds no GPU")


def test_a_driver_that_does_not_start(driver: Path) -> None:
    found = read(driver_environment(driver, "GPU-aaa:1", FAKE_NVML_INIT="9"))
    assert found.gpus == ()
    assert found.reason.startswith("the NVIDIA driver does not answer: ")
    assert "\n" not in found.reason


def test_a_lost_gpu_is_left_out_and_the_others_keep_their_index(driver: Path) -> None:
    found = read(driver_environment(driver, "lost:80", "GPU-bbb:80"))
    assert [(gpu.index, gpu.uuid) for gpu in found.gpus] == [(1, "GPU-bbb")]


@pytest.mark.parametrize(
    ("function", "pids"), [("nvmlDeviceGetComputeRunningProcesses_v2", (42,)), ("a_name_nobody_asks_for", ())]
)
def test_an_old_driver_without_some_functions(tmp_path: Path, function: str, pids: tuple[int, ...]) -> None:
    old = build_driver(tmp_path, f"-DPROCESSES={function}")
    (gpu,) = read(driver_environment(old, "GPU-aaa:10:42")).gpus
    assert (gpu.uuid, gpu.processes) == ("GPU-aaa", pids)


def test_cuda_visible_devices_of_the_caller_counts(driver: Path) -> None:
    found = read(driver_environment(driver, "GPU-aaa:1", "GPU-bbb:2", CUDA_VISIBLE_DEVICES="1"))
    assert [gpu.uuid for gpu in found.gpus] == ["GPU-bbb"]
    assert found.reason == "CUDA_VISIBLE_DEVICES=1 leaves 1 of 2"
