"""The machine as evidence: nothing it does not tell is an error."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dynamo_cli.supervisor.crashes import snapshot


def test_memory_of_a_machine_that_tells(tmp_path: Path) -> None:
    group = tmp_path / "sys/fs/cgroup/job"
    for directory in (tmp_path / "proc/self", group, tmp_path / "dev/shm"):
        directory.mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal:       16777216 kB\nHugePages:   0\nSwapFree:   0 kB\n")
    (tmp_path / "proc/self/cgroup").write_text("0::/job\n")
    (group / "memory.max").write_text("max\n")
    (group / "memory.peak").write_text(f"{3 << 30}\n")
    (group / "memory.events").write_text("low 0\noom_kill 2\n")
    told = snapshot.memory(tmp_path)
    assert told["MemTotal"] == "16.0 GiB" and told["SwapFree"] == "0 MiB" and "HugePages" not in told
    assert (told["memory.max"], told["memory.peak"], told["memory.events"]) == ("max", "3.0 GiB", "low 0, oom_kill 2")
    assert " free of " in told["/dev/shm"]


def test_memory_of_one_that_does_not(tmp_path: Path) -> None:
    assert snapshot.memory(tmp_path) == {}


def test_a_driver_that_hangs_or_crashes_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "DRIVER_S", 0.2)
    assert snapshot.gpus(("sleep", "60")) == (None, "the driver did not answer within 0.2 s")
    assert snapshot.gpus((sys.executable, "-c", "import os; os.abort()"))[0] is None
    assert "cannot be asked" in snapshot.gpus(("/no/such/program",))[1]


def test_a_driver_is_asked_in_a_process_of_its_own() -> None:
    driver, reason = snapshot.gpus()
    assert driver is not None and not reason


def test_versions() -> None:
    assert {"python", "system"} <= set(snapshot.versions())
