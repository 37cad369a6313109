"""Real processes, and a driver that tells what a file says."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dynamo_cli.gpus import asking
from dynamo_cli.runtime.paths import DeploymentPaths, dynamo_home
from dynamo_cli.supervisor import gpu_memory
from dynamo_cli.supervisor.gpu_memory import GpuMemory
from dynamo_cli.supervisor.gpu_orphans import gpus_without_orphans, held_for_restart, orphans_among
from dynamo_cli.supervisor.processes import ProcessId, alive, identify
from dynamo_cli.supervisor.record import Record, write
from dynamo_cli.topology.process import GpuAssignment
from tests.gpus.fake import GIB, build_driver, driver_environment
from tests.supervisor.harness import Running, foreground, until
from tests.supervisor.plans import custom, plan

GPU = GpuAssignment(0, "GPU-a", "Fake 80", 80 * GIB, 80 * GIB)
ENDED = 4000042
"""A pid that no process has."""


class Driver:
    """The driver of the children of this test, and what it tells of its one GPU."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._words = folder / "gpus"
        self.tells("GPU-a:80")
        for name, value in driver_environment(folder, f"@{self._words}").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(asking, "library_there", lambda: True)

    def tells(self, words: str) -> None:
        new = self._words.with_name("new")
        new.write_text(words)
        new.replace(self._words)


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    folder = tmp_path / "driver"
    folder.mkdir()
    return Driver(build_driver(folder), monkeypatch)


@contextmanager
def process(**environment: str) -> Iterator[ProcessId]:
    with subprocess.Popen(["sleep", "60"], env={**os.environ, **environment}, start_new_session=True) as child:
        found = identify(child.pid)
        assert found
        try:
            yield found
        finally:
            child.kill()


def reason(running: Running) -> str:
    return next(s.reason for s in running.status().services if s.name == "decode-0")


def test_a_restart_waits_for_the_memory_of_the_last_process(driver: Driver) -> None:
    with foreground(plan(custom("exec sleep 1000", gpus=(GPU,)), models=())) as running:
        running.until("READY")
        first = running.pid("decode-0")
        assert first
        driver.tells(f"GPU-a:20:{ENDED}=60")
        os.kill(first, signal.SIGKILL)
        words = f"waiting for GPU memory: GPU 0: 60.0 GiB not free yet, pid {ENDED} holds 60.0 GiB"
        until(lambda: words in reason(running), what=words)
        assert running.pid("decode-0") is None
        driver.tells("GPU-a:79")
        running.until("READY")
        assert running.pid("decode-0") != first
        assert reason(running) == "last exit: killed by SIGKILL"


def test_a_stranger_is_named_and_not_waited_for(driver: Driver) -> None:
    with foreground(plan(custom("exec sleep 1000", gpus=(GPU,)), models=())) as running, process() as stranger:
        running.until("READY")
        first = running.pid("decode-0")
        assert first
        driver.tells(f"GPU-a:20:{stranger.pid}=60")
        os.kill(first, signal.SIGKILL)
        until(lambda: running.pid("decode-0") not in (None, first), what="a restart")
        status = running.until("READY")
        assert status.services[0].last_exit == f"killed by SIGKILL; GPU 0: sleep (pid {stranger.pid}) holds 60.0 GiB"
        assert alive(stranger)
        driver.tells("GPU-a:80")


async def freed(memory: GpuMemory, *gpus: GpuAssignment) -> list[str]:
    told: list[str] = []
    await memory.freed(custom("", gpus=gpus), told.append)
    return told


async def test_a_leak_is_named_after_a_while(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_memory, "PATIENCE_S", 0.0)
    with process(DYNAMO_DEPLOYMENT_ID="mine") as leaked:
        driver.tells(f"GPU-a:30:{leaked.pid}=50")
        told = await freed(GpuMemory("mine"), GPU)
    where = f"GPU 0: 50.0 GiB not free yet, sleep (pid {leaked.pid}) holds 50.0 GiB"
    assert told[-1] == f"{where} after 0 s: leaked"


async def test_memory_that_nobody_is_said_to_hold_is_waited_for(driver: Driver) -> None:
    driver.tells("GPU-a:30")
    memory = GpuMemory("mine")
    waiting = asyncio.ensure_future(freed(memory, GPU))
    await asyncio.sleep(0)
    driver.tells("GPU-a:78")
    assert (await waiting)[-1:] in ([""], [])
    assert not memory.pids


async def test_no_gpu_no_driver_and_no_patience(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver.tells("GPU-a:1")
    assert await freed(GpuMemory("mine")) == []
    assert await freed(GpuMemory("mine", impatient=lambda: True), GPU) == []
    monkeypatch.setenv("FAKE_NVML_INIT", "crash")
    assert await freed(GpuMemory("mine"), GPU) == []


def record(name: str, deployment_id: str, **fields: object) -> None:
    paths = DeploymentPaths(name)
    paths.ensure()
    supervisor = identify(os.getpid())
    assert supervisor
    write(paths.state, Record(deployment=name, deployment_id=deployment_id, **{"supervisor": supervisor, **fields}))  # type: ignore[arg-type]


def marked(deployment_id: str, home: str = "") -> dict[str, str]:
    return {"DYNAMO_HOME": home or str(dynamo_home()), "DYNAMO_DEPLOYMENT_ID": deployment_id}


def test_orphans_are_ended_and_strangers_never(driver: Driver) -> None:
    record("runs", "living")
    told: list[str] = []
    with (
        process(**marked("dead")) as orphan,
        process(**marked("living")) as worker,
        process(**marked("dead", home="/elsewhere")) as other,
        process() as stranger,
    ):
        pids = [orphan.pid, worker.pid, other.pid, stranger.pid]
        driver.tells(f"GPU-a:20:{'+'.join(map(str, pids))}")
        gpus = gpus_without_orphans(told.append)
        assert [alive(each) for each in (orphan, worker, other, stranger)] == [False, True, True, True]
    assert told == [f"ended pid {orphan.pid}, which a deployment that is no more left on a GPU"]
    assert len(gpus.gpus) == 1


def test_the_child_of_a_dead_worker_without_our_marks() -> None:
    script = "import os, subprocess, sys; print(subprocess.Popen(['sleep', '60'], env={}).pid, flush=True)"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DYNAMO_")}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env=clean, start_new_session=True
    ) as worker:
        leader = identify(worker.pid)
        assert leader and worker.stdout
        child = identify(int(worker.stdout.readline()))
        assert child
        worker.wait()
    try:
        record("gone", "dead", state="STOPPED", processes={"decode-0": leader})
        assert [each.pid for each in orphans_among([child.pid, os.getpid()])] == [child.pid]
        record("gone", "dead", state="STOPPED", processes={"decode-0": ProcessId(os.getpid(), 1)})
        assert not list(orphans_among([child.pid, os.getpid()])), "another process has that pid now"
        record("gone", "dead", state="READY", supervisor=ProcessId(leader.pid, 1), processes={"decode-0": leader})
        assert not list(orphans_among([child.pid])), "its deployment can be taken over"
        assert held_for_restart("gone", [child.pid, 1]) == {child.pid}
        assert held_for_restart("never", [child.pid]) == frozenset()
    finally:
        os.kill(child.pid, signal.SIGKILL)
