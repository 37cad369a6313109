"""Leases as an observer of files judges them, on a clock of the test."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from dynamo_cli.runtime.discovery.base import WatchEvent
from dynamo_cli.runtime.discovery.files import KeyFiles, new_envelope
from dynamo_cli.runtime.discovery.observer import Observer
from dynamo_cli.runtime.discovery.owner import Owner, this_process

KEY = "v1/instances/dynamo/backend/generate/1f"
ELSEWHERE = Owner("another host", 1, "1")
PUT = WatchEvent("put", KEY, b"value")
DELETE = WatchEvent("delete", KEY)


class Scene:
    def __init__(self, root: Path) -> None:
        self.files = KeyFiles(root)
        self.path = self.files.path(KEY)
        self.observer = Observer(self.files, "v1/instances/")
        self.now = 1000.0
        self.mtime = 5_000_000_000

    def put(self, owner: Owner = ELSEWHERE, value: bytes = b"value") -> None:
        self.files.replace(self.path, new_envelope(owner, value))

    def touch(self) -> None:
        self.mtime += 1
        os.utime(self.path, ns=(self.mtime, self.mtime))

    def watch(self, seconds: float, step: float = 0.25) -> list[WatchEvent]:
        seen = []
        for _ in range(round(seconds / step)):
            self.now += step
            seen += self.observer.scan(self.now)
        return seen


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_an_untouched_key_expires_after_ten_seconds(scene: Scene) -> None:
    scene.put()
    assert scene.watch(0.25) == [PUT]
    assert scene.watch(9.5) == []
    assert scene.watch(1) == [DELETE]
    assert scene.observer.values == {}
    assert not scene.path.exists()
    assert scene.watch(20) == []


def test_a_touched_key_lives_whatever_its_wall_clock_says(scene: Scene) -> None:
    scene.put()
    seen = scene.watch(0.25)
    for _ in range(10):
        scene.touch()
        seen += scene.watch(9)
    assert seen == [PUT]


def test_an_expired_key_comes_back_with_its_owner(scene: Scene) -> None:
    scene.put()
    assert scene.watch(11) == [PUT, DELETE]
    scene.put()
    assert scene.watch(1) == [PUT]


def test_a_pause_of_the_observer_expires_nothing(scene: Scene) -> None:
    scene.put()
    scene.watch(1)
    scene.now += 3600
    assert scene.watch(5) == []


def test_a_dead_owner_on_this_host_is_seen_at_once(scene: Scene) -> None:
    scene.put(this_process())
    assert scene.watch(2) == [PUT]
    me = this_process()
    scene.put(Owner(me.host, me.pid, "0"), b"stale")
    assert scene.watch(0.75) == [WatchEvent("put", KEY, b"stale"), DELETE]


def test_a_dead_owner_is_not_even_seen_at_first_sight(scene: Scene) -> None:
    me = this_process()
    scene.put(Owner(me.host, me.pid, "0"))
    scene.watch(0.25)
    assert scene.observer.values == {}


def test_a_pid_of_another_pid_namespace_is_not_judged(scene: Scene) -> None:
    scene.put(Owner(f"{this_process().host}0", 999_999_999, "0"))
    assert scene.watch(5) == [PUT]


def test_a_touch_is_told_from_a_new_value_in_the_same_inode(scene: Scene) -> None:
    scene.put()
    scene.watch(1)
    scene.touch()
    assert scene.watch(1) == []
    fresh = new_envelope(ELSEWHERE, b"value")
    spare = scene.path.with_name("spare")
    scene.files.replace(spare, fresh)
    scene.path.write_bytes(spare.read_bytes())
    spare.unlink()
    scene.touch()
    assert scene.watch(1) == [PUT]


def test_a_quiet_store_is_listed_once_a_second(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = []
    scan = scene.files.scan
    monkeypatch.setattr(scene.files, "scan", lambda prefix: listed.append(scene.now) or scan(prefix))
    scene.put()
    scene.watch(1)
    listed.clear()
    assert scene.watch(5) == []
    assert len(listed) == 5


def test_two_puts_that_leave_the_same_stamp_are_both_seen(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene.files, "stamp", lambda prefix: (1, 1))
    scene.watch(0.25)
    scene.put()
    assert scene.watch(0.25) == [PUT]
    scene.put(value=b"at once")
    assert scene.watch(1) == [WatchEvent("put", KEY, b"at once")]


def test_odd_files_are_passed_over(scene: Scene) -> None:
    scene.put()
    folder = scene.path.parent
    (folder / "garbage").write_bytes(b"\xff\x00 no envelope")
    (folder / "empty").write_bytes(b"")
    (folder / "folder").mkdir()
    (folder / "link").symlink_to(scene.path)
    (folder / ".tmp_half").write_bytes(b"half")
    (folder.parent / "stray").write_bytes(b"")
    assert scene.watch(1) == [PUT]


def test_a_file_that_becomes_unreadable_is_gone_until_it_is_whole_again(scene: Scene) -> None:
    scene.put()
    scene.watch(1)
    whole = scene.path.read_bytes()
    scene.path.write_bytes(whole[:5])
    scene.touch()
    assert scene.watch(1) == [DELETE]
    scene.path.write_bytes(whole)
    scene.touch()
    assert scene.watch(1) == [PUT]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_of_another_user_are_passed_over(scene: Scene) -> None:
    scene.put()
    os.chown(scene.path, 12345, 12345)
    assert scene.watch(1) == []


def test_a_store_that_vanishes_deletes_its_keys(scene: Scene, tmp_path: Path) -> None:
    scene.put()
    scene.watch(1)
    scene.path.unlink()
    scene.path.parent.rmdir()
    assert scene.watch(1) == [DELETE]


@contextmanager
def no_files_left() -> Iterator[None]:
    """This process can open no more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        with suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in held:
            os.close(descriptor)


def test_who_can_open_no_more_files_loses_no_key(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.put()
    assert scene.watch(0.25) == [PUT]
    with no_files_left():
        assert scene.watch(30) == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Too many open files" in caplog.text
    assert scene.watch(5) == []
    assert scene.watch(10) == [DELETE]


def test_a_touched_key_that_cannot_be_read_stays_what_it_was(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(path: object) -> None:
        raise OSError(5, "Input/output error")

    scene.put()
    assert scene.watch(0.25) == [PUT]
    with monkeypatch.context() as patched:
        patched.setattr(scene.files, "read", broken)
        for _ in range(10):
            scene.touch()
            assert scene.watch(2) == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    scene.put(value=b"other")
    assert scene.watch(2) == [WatchEvent("put", KEY, b"other")]


def test_what_came_and_went_while_nothing_could_be_read_is_seen_later(scene: Scene) -> None:
    scene.put()
    scene.watch(1)
    with no_files_left():
        scene.path.unlink()
        assert scene.watch(5) == []
    assert scene.watch(2) == [DELETE]
