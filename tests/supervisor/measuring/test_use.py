"""What real processes take."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from dynamo_cli.supervisor import memory, processes
from dynamo_cli.supervisor.measuring.use import UseMeter
from dynamo_cli.supervisor.memory import tree, tree_memory
from tests.supervisor.harness import until

BUSY = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
print(child.pid)
child.wait()
"""


@pytest.fixture
def busy() -> Iterator[tuple[int, int]]:
    """A process that waits, and its child that does not."""
    with subprocess.Popen(
        [sys.executable, "-u", "-c", BUSY], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            yield parent.pid, child
        finally:
            parent.kill()
            psutil.Process(child).kill()


@pytest.fixture(params=[True, False], ids=["by the kernel", "by everybody's parent"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param and not processes.TELLS_CHILDREN:
        pytest.skip("this kernel does not tell the children of a process")
    monkeypatch.setattr(processes, "TELLS_CHILDREN", request.param)


@pytest.mark.usefixtures("either_way")
def test_descendants_count(busy: tuple[int, int]) -> None:
    parent, child = busy
    assert {process.pid for process in tree(parent)} == {parent, child}
    assert tree_memory(parent) >= memory.tree_memory(child) > 0


@pytest.mark.usefixtures("either_way")
def test_of_one_that_is_gone_there_is_nothing() -> None:
    assert tree(4_000_042) == [] and tree_memory(4_000_042) == 0
    meter = UseMeter()
    meter.measure("decode-0", 4_000_042, 1.0)
    assert meter.last("decode-0") is None


def test_a_busy_child_takes_time_of_its_parents_service(busy: tuple[int, int]) -> None:
    meter = UseMeter()

    def cpu() -> float:
        meter.measure("decode-0", busy[0], time.monotonic())
        use = meter.last("decode-0")
        assert use is not None and use.memory > 0
        return use.cpu

    assert cpu() >= 0.0
    until(lambda: cpu() > 0.3, 10.0, "a busy process")


def test_another_process_of_the_same_name_begins_anew(busy: tuple[int, int]) -> None:
    meter = UseMeter()
    meter.measure("decode-0", busy[0], time.monotonic())
    with subprocess.Popen(["sleep", "60"]) as idle:
        meter.measure("decode-0", idle.pid, time.monotonic())
        use = meter.last("decode-0")
        idle.kill()
    assert use is not None and 0.0 <= use.cpu < 1.5
    meter.forget({"decode-1"})
    assert meter.last("decode-0") is None
