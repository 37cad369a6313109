"""The file store among real processes and busy event loops."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dynamo_cli.errors import ResourceMissing
from dynamo_cli.runtime.discovery import file as file_module
from dynamo_cli.runtime.discovery.base import WatchEvent
from dynamo_cli.runtime.discovery.file import FileDiscovery
from tests.runtime.waiting import until

KEY = "v1/a/key"
HOLD = """
import asyncio, sys
from pathlib import Path
from dynamo_cli.runtime.discovery.file import FileDiscovery
async def main():
    discovery = FileDiscovery(Path(sys.argv[1]))
    await discovery.put("v1/a/key", b"held")
    print("up", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
RACE = """
import asyncio, os, sys, time
from pathlib import Path
from dynamo_cli.runtime.discovery.file import FileDiscovery
async def main():
    discovery = FileDiscovery(Path(sys.argv[1]))
    print("up", flush=True)
    sys.stdin.readline()
    print(sum([await discovery.create(f"v1/a/{i}", b"mine") for i in range(200)]), flush=True)
    sys.stdin.readline()
    await discovery.close()
asyncio.run(main())
"""


@pytest.fixture
async def discovery(tmp_path: Path) -> AsyncIterator[FileDiscovery]:
    member = FileDiscovery(tmp_path / "store")
    yield member
    await member.close()


def spawn(script: str, root: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def finish(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.mark.alone
async def test_the_keys_of_a_killed_process_vanish_within_a_second(discovery: FileDiscovery, tmp_path: Path) -> None:
    process = spawn(HOLD, tmp_path / "store")
    try:
        async with discovery.watch_prefix("v1/a/") as watch:
            assert watch.initial == {KEY: b"held"}
            process.send_signal(signal.SIGKILL)
            started = time.monotonic()
            # The process stays a zombie until it is waited for, as under a slow parent.
            assert await asyncio.wait_for(watch.next(), 5) == [WatchEvent("delete", KEY)]
            assert time.monotonic() - started < 1.0
        assert await discovery.create(KEY, b"taken over")
    finally:
        finish(process)


async def test_create_takes_over_from_a_killed_process(discovery: FileDiscovery, tmp_path: Path) -> None:
    process = spawn(HOLD, tmp_path / "store")
    try:
        assert not await discovery.create(KEY, b"mine")
        process.kill()
        process.wait()
        assert await discovery.create(KEY, b"mine")
    finally:
        finish(process)


async def test_create_is_atomic_among_processes(tmp_path: Path) -> None:
    root = tmp_path / "store"
    processes = [spawn(RACE, root) for _ in range(3)]
    try:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        created = [int(process.stdout.readline()) for process in processes if process.stdout]
        assert sum(created) == 200
        assert len(os.listdir(root / "v1" / "a")) == 200
    finally:
        for process in processes:
            finish(process)


async def test_a_busy_event_loop_keeps_its_lease(
    discovery: FileDiscovery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_module, "_TOUCH_S", 0.2)
    await discovery.put(KEY, b"")
    path = tmp_path / "store" / "v1" / "a" / "key"
    stamps = set()
    deadline = time.monotonic() + 5
    while len(stamps) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
        stamps.add(path.stat().st_mtime_ns)
    assert len(stamps) >= 4


async def test_a_removed_store_is_written_again(
    discovery: FileDiscovery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_module, "_TOUCH_S", 0.2)
    await discovery.put(KEY, b"still mine")
    shutil.rmtree(tmp_path / "store")
    await until((tmp_path / "store" / "v1" / "a" / "key").exists)
    other = FileDiscovery(tmp_path / "store")
    assert await other.get_prefix("v1/a/") == {KEY: b"still mine"}
    await other.close()


async def test_a_key_taken_by_another_is_kept_alive_no_more(
    discovery: FileDiscovery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(file_module, "_TOUCH_S", 0.2)
    await discovery.put(KEY, b"mine")
    other = FileDiscovery(tmp_path / "store")
    await other.put(KEY, b"yours")
    await until(lambda: "taken over" in caplog.text)
    await discovery.close()
    assert await other.get_prefix(KEY) == {KEY: b"yours"}
    await other.close()


async def test_a_first_watch_is_served_at_once_by_a_member_that_only_had_keys(
    discovery: FileDiscovery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_module, "_TOUCH_S", 60.0)
    await discovery.put(KEY, b"")
    other = FileDiscovery(tmp_path / "store")
    async with discovery.watch_prefix("v1/a/") as watch:
        await other.put("v1/a/new", b"1")
        assert await asyncio.wait_for(watch.next(), 5) == [WatchEvent("put", "v1/a/new", b"1")]
    await other.close()


async def test_a_store_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    member = FileDiscovery(tmp_path / "file" / "store")
    with pytest.raises(ResourceMissing, match=r"cannot write to discovery at .*: Not a directory"):
        await member.put(KEY, b"")
    await member.close()


@pytest.mark.parametrize("way", ["put", "create"])
async def test_a_full_disk_is_waited_for(
    discovery: FileDiscovery, way: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened, tried = os.open, asyncio.Event()

    def full(*_: object) -> None:
        tried.set()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "open", full)
    writing = asyncio.create_task(getattr(discovery, way)(KEY, b"there"))
    for _ in range(2):
        await asyncio.wait_for(tried.wait(), 5)
        tried.clear()
    assert not writing.done()
    monkeypatch.setattr(os, "open", opened)
    assert await asyncio.wait_for(writing, 5) in (None, True)
    assert await discovery.get_prefix("v1/a/") == {KEY: b"there"}
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1, "it was said again and again"
    assert "No space left on device; waiting for room" in warnings[0]


async def test_nothing_but_keys_is_left_behind(discovery: FileDiscovery, tmp_path: Path) -> None:
    await discovery.put(KEY, b"")
    await discovery.create(KEY, b"")
    folder = tmp_path / "store" / "v1" / "a"
    assert os.listdir(folder) == ["key"]
    await discovery.close()
    assert os.listdir(folder) == []


async def test_a_key_that_cannot_be_removed_is_kept_alive_no_more(
    discovery: FileDiscovery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(file_module, "_TOUCH_S", 0.2)
    await discovery.put(KEY, b"")
    await discovery.put("v1/a/other", b"")
    key, other = (tmp_path / "store" / "v1" / "a" / name for name in ("key", "other"))

    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", read_only)
        await discovery.delete(KEY)
    assert f"cannot remove {KEY}, it ends in 10 s: Read-only file system" in caplog.text
    stood, touched = key.stat().st_mtime_ns, other.stat().st_mtime_ns
    await until(lambda: other.stat().st_mtime_ns != touched)
    assert key.stat().st_mtime_ns == stood
