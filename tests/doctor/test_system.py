from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_cli.doctor.system import (
    Processor,
    System,
    architecture_check,
    cpu_check,
    os_check,
    quota,
    read_processor,
    read_system,
    surroundings,
)
from tests.doctor.judged import judge
from tests.supervisor.test_oom import machine


@pytest.mark.parametrize(
    ("system", "status", "words"),
    [
        (System("Linux", "6.1.0", "x86_64", "Debian GNU/Linux 12"), "ok", "Debian GNU/Linux 12, kernel 6.1.0"),
        (System("Linux", "6.1.0", "x86_64"), "ok", "Linux, kernel 6.1.0"),
        (System("Linux", "5.15.1-microsoft-standard-WSL2", "x86_64", "Ubuntu"), "ok", "(WSL 2)"),
        (System("Linux", "4.4.0-19041-Microsoft", "x86_64", "Ubuntu"), "warn", "--set-version"),
        (System("Darwin", "14.5", "arm64"), "warn", "macOS 14.5: no GPUs"),
        (System("Windows", "11", "AMD64"), "error", "wsl --install"),
    ],
)
def test_operating_systems(system: System, status: str, words: str) -> None:
    judge(os_check(system), status, words)


def test_architectures() -> None:
    judge(architecture_check("x86_64"), "ok", "x86_64")
    judge(architecture_check("arm64"), "ok", "arm64")
    assert architecture_check("riscv64").status == "warn"


@pytest.mark.parametrize(
    ("processor", "status", "words"),
    [
        (Processor("EPYC", 64, 64), "ok", "EPYC, 64 cores"),
        (Processor("", 1, 1), "ok", "unknown model, 1 core"),
        (Processor("EPYC", 64, 64, 2.5), "ok", "64 cores, 2.5 of them usable (a quota of its control group)"),
        (Processor("EPYC", 64, 4, 8.0), "ok", "64 cores, 4 of them usable (its affinity mask)"),
        (Processor("EPYC", 64, 64, 0.5), "warn", "--cpus 2"),
    ],
)
def test_processors(processor: Processor, status: str, words: str) -> None:
    judge(cpu_check(processor), status, words)


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000", "cpu.max": "max 100000"}, 1.5),
        ("0::/a\n", {"a/cpu.max": "max 100000"}, None),
        ("0::/../of/the/host\n", {"cpu.max": "50000 100000"}, 0.5),
        ("4:cpu,cpuacct:/x\n", {"cpu/x/cpu.cfs_quota_us": "300000", "cpu/x/cpu.cfs_period_us": "100000"}, 3.0),
        ("4:cpu,cpuacct:/x\n", {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"}, None),
        ("", {}, None),
    ],
)
def test_quotas_of_control_groups(tmp_path: Path, groups: str, files: dict[str, str], cores: float | None) -> None:
    assert quota(machine(tmp_path, groups, {f"sys/fs/cgroup/{name}": text for name, text in files.items()})) == cores


def test_containers_and_virtual_machines(tmp_path: Path) -> None:
    assert surroundings(tmp_path) == "none seen"
    machine(tmp_path, "", {".dockerenv": "", "proc/cpuinfo": "flags\t: fpu hypervisor\n"})
    assert surroundings(tmp_path) == "container (Docker), virtual machine (kind unknown)"
    machine(tmp_path, "", {"run/systemd/container": "lxc\n", "sys/class/dmi/id/product_name": "KVM\n"})
    assert surroundings(tmp_path) == "container (lxc), virtual machine (KVM)"


def test_this_machine() -> None:
    assert os_check(read_system()).detail.endswith(read_system().release)
    found = read_processor()
    assert 1 <= found.allowed <= found.cores
