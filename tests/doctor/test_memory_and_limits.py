from __future__ import annotations

import resource
from pathlib import Path

import pytest

from dynamo_cli.doctor.check import GIB, MIB, Check
from dynamo_cli.doctor.limits import (
    UNLIMITED,
    Limit,
    Tasks,
    core_check,
    files_check,
    locked_check,
    processes_check,
    rdma_devices,
    read_limit,
    read_tasks,
    tasks_check,
)
from dynamo_cli.doctor.memory import (
    Memory,
    Shared,
    Swap,
    memory_check,
    read_memory,
    read_shared,
    read_swap,
    shared_check,
    swap_check,
)
from tests.doctor.judged import judge
from tests.supervisor.test_oom import machine

NO_LIMIT = Limit(UNLIMITED, UNLIMITED)


@pytest.mark.parametrize(
    ("check", "status", "words"),
    [
        (memory_check(Memory(64 * GIB, 32 * GIB)), "ok", "32.0 GiB available of 64.0 GiB"),
        (memory_check(Memory(64 * GIB, 32 * GIB, 8 * GIB, 1 * GIB)), "ok", "7.0 GiB available"),
        (memory_check(Memory(64 * GIB, 32 * GIB, 2 * GIB, 3 * GIB // 2)), "warn", "may hold 2.0 GiB and holds 1.5 GiB"),
        (memory_check(Memory(64 * GIB, 100 * MIB)), "error", "100 MiB available"),
        (memory_check(Memory(64 * GIB, 32 * GIB, GIB, 2 * GIB)), "error", "0 bytes available"),
        (swap_check(Swap(0, 0)), "ok", "none"),
        (swap_check(Swap(8 * GIB, GIB)), "ok", "1.0 GiB used of 8.0 GiB"),
        (swap_check(Swap(8 * GIB, 6 * GIB)), "warn", "swapped out"),
        (shared_check(Shared(True, True, 2 * GIB, 2 * GIB), True), "ok", "2.0 GiB free of 2.0 GiB"),
        (shared_check(Shared(True, True, 64 * MIB, 64 * MIB), False), "warn", "docker run --shm-size 2g"),
        (shared_check(Shared(True, True, 64 * MIB, 64 * MIB), True), "error", "--shm-size"),
        (shared_check(Shared(False), False), "warn", "/dev/shm is missing"),
        (shared_check(Shared(True, writable=False), False), "warn", "chmod 1777 /dev/shm"),
        (files_check(Limit(65536, 65536)), "ok", "65536"),
        (files_check(NO_LIMIT), "ok", "unlimited"),
        (
            files_check(Limit(1024, 1048576)),
            "warn",
            "takes one -> ulimit -n 65536",
        ),
        (files_check(Limit(1024, 8192)), "warn", "-> ulimit -n 8192"),
        (files_check(Limit(1024, UNLIMITED)), "warn", "-> ulimit -n 65536"),
        (files_check(Limit(1024, 2048)), "warn", "limits.conf"),
        (files_check(Limit(64, 64)), "error", "64 (hard limit 64)"),
        (processes_check(Limit(100, 100), False), "warn", "ulimit -u"),
        (processes_check(Limit(100, 100), True), "ok", "not for root"),
        (processes_check(Limit(4096, 4096), False), "ok", "4096"),
        (processes_check(NO_LIMIT, False), "ok", "unlimited"),
        (locked_check(Limit(8 * MIB, 8 * MIB), []), "ok", "8 MiB; matters for RDMA only"),
        (locked_check(Limit(8 * MIB, 8 * MIB), ["mlx5_0"]), "warn", "transfers over mlx5_0"),
        (locked_check(NO_LIMIT, ["mlx5_0"]), "ok", "unlimited"),
        (core_check(Limit(0, 0)), "ok", "none"),
        (core_check(NO_LIMIT), "ok", "of any size"),
        (core_check(Limit(MIB, MIB)), "ok", "1 MiB"),
        (tasks_check(None), "ok", "unlimited"),
        (tasks_check(Tasks(4096, 60)), "ok", "60 of 4096"),
        (tasks_check(Tasks(100, 60)), "warn", "--pids-limit"),
    ],
    ids=lambda value: value.detail if isinstance(value, Check) else "",
)
def test_outcomes(check: Check, status: str, words: str) -> None:
    judge(check, status, words)


def test_limits_of_control_groups(tmp_path: Path) -> None:
    stat = f"anon 5\ninactive_file {100 * MIB}\nactive_file 7\n"
    group = {"memory.max": str(GIB), "memory.current": str(900 * MIB), "memory.stat": stat}
    outer = {"memory.max": "max", "pids.max": "max", "pids.current": "9"}
    files = {f"sys/fs/cgroup/a/{name}": text for name, text in {**group, "pids.max": "50", "pids.current": "7"}.items()}
    root = machine(tmp_path, "0::/a\n", {**files, **{f"sys/fs/cgroup/{name}": text for name, text in outer.items()}})
    found = read_memory(root)
    assert (found.limit, found.used) == (GIB, 800 * MIB)
    assert read_tasks(root) == Tasks(50, 7)


def test_a_version_1_group_without_a_limit(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "9223372036854771712"}
    assert read_memory(machine(tmp_path, "3:memory:/a\n", files)).limit is None
    assert read_tasks(tmp_path) is None


def test_this_machine(tmp_path: Path) -> None:
    memory = read_memory()
    assert 0 < memory.usable <= memory.total
    assert read_swap().total >= 0
    assert read_shared(tmp_path / "none") == Shared(exists=False)
    assert read_shared(tmp_path).total >= read_shared(tmp_path).free > 0
    assert read_limit(resource.RLIMIT_NOFILE).soft == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    (tmp_path / "sys/class/infiniband/mlx5_0").mkdir(parents=True)
    assert rdma_devices(tmp_path) == ["mlx5_0"]
    assert rdma_devices(tmp_path / "none") == []
