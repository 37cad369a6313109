"""The adapter in a child process that loads the fake driver, or none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from dynamo_cli.gpus.gpu import Gpu, GpuInventory, Holder, Peer
from tests.gpus.fake import GIB, build_driver, driver_environment

READ = """
import sys, msgspec
from dynamo_cli.gpus.asking import read_gpus
sys.stdout.buffer.write(msgspec.json.encode(read_gpus()))
"""


def read(environment: dict[str, str]) -> GpuInventory:
    done = subprocess.run([sys.executable, "-W", "error", "-c", READ], env=environment, capture_output=True, check=True)
    assert not done.stderr
    return msgspec.json.decode(done.stdout, type=GpuInventory)


def peers(inventory: GpuInventory) -> dict[str, Peer]:
    """Each pair once, by indexes."""
    numbers = {gpu.uuid: gpu.index for gpu in inventory.gpus}
    return {
        f"{gpu.index}-{numbers[other]}": peer
        for gpu in inventory.gpus
        for other, peer in gpu.peers.items()
        if gpu.index < numbers[other]
    }


def test_what_the_driver_tells(driver: Path) -> None:
    me = os.getpid()
    name = Path(f"/proc/{me}/comm").read_text().strip() if Path("/proc").exists() else ""
    apart = {"GPU-bbb": Peer(path="SYS")}, {"GPU-aaa": Peer(path="SYS")}
    told = read(driver_environment(driver, f"GPU-aaa:10:999999=40+{me}=7", "GPU-bbb:80"))
    assert told == GpuInventory(
        (
            Gpu(
                index=0,
                uuid="GPU-aaa",
                name="Fake 80",
                memory_total=80 * GIB,
                memory_free=10 * GIB,
                holders=(Holder(999999, 40 * GIB), Holder(me, 7 * GIB, name)),
                bus="00000000:A0:00.0",
                numa=0,
                peers=apart[0],
            ),
            Gpu(
                index=1,
                uuid="GPU-bbb",
                name="Fake 80",
                memory_total=80 * GIB,
                memory_free=80 * GIB,
                bus="00000000:A1:00.0",
                numa=0,
                peers=apart[1],
            ),
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


def test_a_driver_that_crashes_takes_nobody_along(driver: Path) -> None:
    found = read(driver_environment(driver, "GPU-aaa:1", FAKE_NVML_INIT="crash"))
    assert found == GpuInventory(reason="the NVIDIA driver crashed who asked it (signal 6)")


def test_a_lost_gpu_is_left_out_and_the_others_keep_their_index(driver: Path) -> None:
    found = read(driver_environment(driver, "lost:80", "GPU-bbb:80"))
    assert [(gpu.index, gpu.uuid) for gpu in found.gpus] == [(1, "GPU-bbb")]


@pytest.mark.parametrize(
    ("function", "pids"), [("nvmlDeviceGetComputeRunningProcesses_v2", [42]), ("a_name_nobody_asks_for", [])]
)
def test_an_old_driver_without_some_functions(tmp_path: Path, function: str, pids: list[int]) -> None:
    old = build_driver(tmp_path, f"-DPROCESSES={function}")
    (gpu,) = read(driver_environment(old, "GPU-aaa:10:42")).gpus
    assert (gpu.uuid, [holder.pid for holder in gpu.holders]) == ("GPU-aaa", pids)


def test_cuda_visible_devices_of_the_caller_counts(driver: Path) -> None:
    found = read(driver_environment(driver, "GPU-aaa:1", "GPU-bbb:2", CUDA_VISIBLE_DEVICES="1"))
    assert [gpu.uuid for gpu in found.gpus] == ["GPU-bbb"]
    assert found.reason == "CUDA_VISIBLE_DEVICES=1 leaves 1 of 2"


def test_direct_links_and_paths(driver: Path) -> None:
    gpus = [f"GPU-{letter}:80" for letter in "abcd"]
    links, levels = "0-1:4 2-3:2", "0-1:10 0-2:20 0-3:30 1-2:40 2-3:99"
    found = read(driver_environment(driver, *gpus, FAKE_NVML_LINKS=links, FAKE_NVML_LEVELS=levels))
    assert peers(found) == {
        "0-1": Peer(nvlink=4, path="PIX"),
        "0-2": Peer(path="PXB"),
        "0-3": Peer(path="PHB"),
        "1-2": Peer(path="NODE"),
        "1-3": Peer(path="SYS"),
        "2-3": Peer(nvlink=2),
    }


def test_switches_join_all_with_all_unless_the_driver_says_no(driver: Path) -> None:
    gpus = [f"GPU-{letter}:80" for letter in "abc"]
    found = read(driver_environment(driver, *gpus, FAKE_NVML_LINKS="switch:18", FAKE_NVML_P2P="0-1:0 0-2:4"))
    assert {pair: peer.nvlink for pair, peer in peers(found).items()} == {"0-1": 18, "0-2": 0, "1-2": 18}


def test_peers_over_nvlink_that_tell_no_lanes(driver: Path) -> None:
    denied = "nvmlDeviceGetNvLinkState nvmlDeviceGetPciInfo_v3"
    environment = driver_environment(driver, "GPU-a:80", "GPU-b:80", FAKE_NVML_P2P="0-1:0", FAKE_NVML_DENIED=denied)
    assert peers(read(environment)) == {"0-1": Peer(nvlink=1, path="SYS")}


EVERY_CALL = (
    "nvmlDeviceGetName nvmlDeviceGetMemoryInfo nvmlDeviceGetPciInfo_v3 nvmlDeviceGetNumaNodeId "
    "nvmlDeviceGetComputeMode nvmlDeviceGetMigMode nvmlDeviceGetTopologyCommonAncestor nvmlDeviceGetP2PStatus "
    "nvmlDeviceGetNvLinkState nvmlDeviceGetNvLinkRemotePciInfo_v2 nvmlDeviceGetNvLinkRemoteDeviceType "
    "nvmlDeviceGetMaxMigDeviceCount nvmlDeviceGetMigDeviceHandleByIndex nvmlDeviceGetAttributes_v2"
)


@pytest.mark.parametrize("call", [*EVERY_CALL.split(), EVERY_CALL])
def test_no_call_is_needed(driver: Path, call: str) -> None:
    more = {"FAKE_NVML_LINKS": "switch:12", "FAKE_NVML_MIG": "1:1g.10gb", "FAKE_NVML_DENIED": call}
    found = read(driver_environment(driver, "GPU-a:80", "GPU-b:80", **more))
    assert [gpu.uuid for gpu in found.gpus][:2] == ["GPU-a", "GPU-b"]
    assert not found.reason


def test_mig_instances(driver: Path) -> None:
    environment = driver_environment(driver, "GPU-a:80", "GPU-b:80", FAKE_NVML_MIG="1:3g.40gb++1g.10gb")
    found = read(environment).gpus
    assert [(gpu.uuid, gpu.index, gpu.mig, gpu.profile) for gpu in found] == [
        ("GPU-a", 0, False, ""),
        ("GPU-b", 1, True, ""),
        ("MIG-1-0", 1, False, "3g.40gb"),
        ("MIG-1-2", 1, False, "1g.10gb"),
    ]
    assert (found[2].memory_free, found[2].name) == (40 * GIB, "Fake 80")


@pytest.mark.parametrize(
    ("denied", "profile"),
    [("nvmlDeviceGetName", "3g.40gb"), ("nvmlDeviceGetName nvmlDeviceGetAttributes_v2", "40gb")],
)
def test_an_old_driver_does_not_name_profiles(driver: Path, denied: str, profile: str) -> None:
    environment = driver_environment(driver, "GPU-a:80", FAKE_NVML_MIG="0:3g.40gb", FAKE_NVML_DENIED=denied)
    assert [gpu.profile for gpu in read(environment).gpus] == ["", profile]


@pytest.mark.parametrize(("visible", "left"), [("MIG-0-1", ["MIG-0-1"]), ("GPU-a", ["GPU-a", "MIG-0-0", "MIG-0-1"])])
def test_visible_mig_instances(driver: Path, visible: str, left: list[str]) -> None:
    environment = driver_environment(
        driver, "GPU-a:80", "GPU-b:80", FAKE_NVML_MIG="0:3g.40gb+3g.40gb", CUDA_VISIBLE_DEVICES=visible
    )
    found = read(environment)
    assert [gpu.uuid for gpu in found.gpus] == left
    assert found.reason == f"CUDA_VISIBLE_DEVICES={visible} leaves {len(left) - (len(left) > 1)} of 3"


def test_compute_modes(driver: Path) -> None:
    environment = driver_environment(driver, "GPU-a:80", "GPU-b:80", "GPU-c:80", FAKE_NVML_MODES="0:2 1:3")
    assert [gpu.compute_mode for gpu in read(environment).gpus] == ["prohibited", "exclusive", "default"]
