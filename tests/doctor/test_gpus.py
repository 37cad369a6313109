from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dynamo_cli.doctor import machine as machine_module
from dynamo_cli.doctor.gpus import Held, Traces, driver_check, gpu_check, gpu_checks, read_traces, visible_check
from dynamo_cli.doctor.machine import Asked, Machine
from dynamo_cli.doctor.who import Who, who
from dynamo_cli.gpus.gpu import Gpu
from dynamo_cli.gpus.health import Driver, GpuHealth
from tests.doctor.judged import judge
from tests.gpus.fake import GIB, driver_environment

GPU = Gpu(index=1, uuid="GPU-aaa", name="H100", memory_total=80 * GIB, memory_free=70 * GIB)
FULL = Gpu(index=1, uuid="GPU-aaa", name="H100", memory_total=80 * GIB, memory_free=GIB)
SPLIT = Gpu(index=1, uuid="GPU-aaa", name="H100", memory_total=80 * GIB, memory_free=70 * GIB, mig=True)
FORBIDDEN = Gpu(index=1, uuid="GPU-aaa", compute_mode="prohibited")
PART = Gpu(index=1, uuid="MIG-a", profile="3g.40gb")
STRANGER = Held(Who(4711, "python", "x"), 61 * GIB)
OURS = Held(Who(12, "python", "x", "agg", "decode-0"), 512 * 2**20)


@pytest.mark.parametrize(
    ("driver", "traces", "status", "words"),
    [
        (Driver(version="550.1", cuda="12.4", count=2), Traces(), "ok", "NVIDIA 550.1, CUDA 12.4, 2 GPUs"),
        (Driver(count=1), Traces(), "ok", "(version unknown), CUDA unknown, 1 GPU"),
        (Driver(reason="no NVIDIA driver"), Traces(), "skipped", "no NVIDIA driver: CPU engines only"),
        (Driver(reason="no NVIDIA driver"), Traces(2), "warn", "for 2 NVIDIA cards on the PCI bus"),
        (Driver(reason="no NVIDIA driver"), Traces(2, True), "warn", "docker run --gpus all"),
        (Driver(reason="did not answer", broken=True), Traces(), "error", "nvidia-smi says more"),
        (Driver(reason="an NVML/RM version mismatch", broken=True), Traces(), "error", "was updated while it ran"),
        (Driver(reason="nvidia-ml-py is not installed", broken=True), Traces(), "error", "pip install nvidia-ml-py"),
    ],
)
def test_drivers(driver: Driver, traces: Traces, status: str, words: str) -> None:
    judge(driver_check(driver, traces), status, words)


@pytest.mark.parametrize(
    ("health", "held", "status", "words"),
    [
        (GpuHealth(gpu=GPU, utilisation=5), [], "ok", "H100, 70.0 GiB free of 80.0 GiB, 5% busy"),
        (GpuHealth(gpu=GPU, persistence=False), [], "ok", "persistence off"),
        (GpuHealth(gpu=GPU), [STRANGER], "ok", "61.0 GiB held by pid 4711 (python, user x)"),
        (GpuHealth(gpu=GPU), [OURS], "ok", "512 MiB held by decode-0 of deployment agg (pid 12)"),
        (GpuHealth(gpu=GPU), [Held(Who(9), 0)], "ok", "used by pid 9 (not to be seen from here)"),
        (GpuHealth(gpu=FULL), [STRANGER], "warn", "nearly no memory is free -> end pid 4711"),
        (GpuHealth(gpu=FULL), [STRANGER, OURS], "warn", "-> dynamo down agg"),
        (GpuHealth(gpu=FULL), [], "warn", "-> use another GPU"),
        (GpuHealth(gpu=SPLIT), [], "warn", "it is in MIG mode without an instance"),
        (GpuHealth(gpu=SPLIT, instances=(PART, PART)), [], "ok", "70.0 GiB free of 80.0 GiB, MIG 3g.40gb, 3g.40gb"),
        (GpuHealth(gpu=FORBIDDEN), [], "warn", "its compute mode forbids programs -> sudo nvidia-smi -i 1 -c DEFAULT"),
        (GpuHealth(gpu=GPU, ecc_errors=1), [], "warn", "1 uncorrected ECC error -> nvidia-smi -i 1 -q -d ECC"),
        (GpuHealth(gpu=GPU, slowed=("it is too hot",)), [], "warn", "clocks are slowed: it is too hot"),
    ],
)
def test_gpus(health: GpuHealth, held: list[Held], status: str, words: str) -> None:
    check = gpu_check(health, held)
    assert check.name == "gpu-1"
    judge(check, status, words)


@pytest.mark.parametrize(
    ("value", "status", "words"),
    [
        ("1", "ok", "leaves 1 of 2"),
        ("0, GPU-b", "ok", "leaves 2 of 2"),
        ("", "warn", "hides every GPU"),
        ("-1", "warn", "hides every GPU"),
        ("0,7", "warn", "there is no GPU 7; it and what follows is hidden -> name some of 0, 1"),
        ("0,", "warn", "there is no GPU (nothing)"),
        ("0,GPU-a", "warn", "GPU GPU-a is named twice"),
    ],
)
def test_cuda_visible_devices(value: str, status: str, words: str) -> None:
    gpus = [Gpu(index=0, uuid="GPU-a"), Gpu(index=1, uuid="GPU-b")]
    judge(visible_check(value, gpus, no_driver=False), status, words)


def test_cuda_visible_devices_without_a_driver() -> None:
    judge(visible_check("7", [], no_driver=True), "ok", "without effect")


def test_traces_of_cards(tmp_path: Path) -> None:
    for slot, vendor, kind in (("0", "0x10de", "0x030200"), ("1", "0x10de", "0x040300"), ("2", "0x8086", "0x030000")):
        device = tmp_path / "sys/bus/pci/devices" / slot
        device.mkdir(parents=True)
        (device / "vendor").write_text(f"{vendor}\n")
        (device / "class").write_text(f"{kind}\n")
    assert read_traces(tmp_path) == Traces(1, False)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()
    assert read_traces(tmp_path) == Traces(1, True)


@pytest.fixture
def fake_driver(driver: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(driver))
    return monkeypatch


def test_a_real_process_on_a_gpu_of_a_lost_pair(driver: Path, fake_driver: pytest.MonkeyPatch) -> None:
    marks = {"DYNAMO_DEPLOYMENT": "agg", "DYNAMO_SERVICE": "decode-0"}
    with subprocess.Popen(["sleep", "60"], env={**os.environ, **marks}) as holder:
        for name, value in driver_environment(driver, f"GPU-aaa:5:{holder.pid}", "lost:80").items():
            fake_driver.setenv(name, value)
        first, lost = gpu_checks(Machine(Asked()).driver)
        holder.kill()
    judge(first, "warn", f"1.0 GiB held by decode-0 of deployment agg (pid {holder.pid})", "dynamo down agg")
    judge(lost, "error", "1 GPU of 2 does not answer")
    assert lost.name == "lost-gpus"


def test_a_driver_that_crashes_takes_nobody_along(fake_driver: pytest.MonkeyPatch) -> None:
    fake_driver.setenv("FAKE_NVML_INIT", "crash")
    judge(driver_check(Machine(Asked()).driver, Traces()), "error", "crashed who asked it (signal 6)")


def test_a_driver_that_hangs_is_given_up(fake_driver: pytest.MonkeyPatch) -> None:
    fake_driver.setattr(machine_module, "DRIVER_S", 0.5)
    fake_driver.setenv("FAKE_NVML_INIT", "hang")
    judge(driver_check(Machine(Asked()).driver, Traces()), "error", "did not answer within 0.5 s")


def test_who_a_process_is() -> None:
    me = who(os.getpid())
    assert me.command and str(me).startswith(f"pid {os.getpid()} ({me.command}, user {me.user}")
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    assert who(gone.pid).command == ""
