"""Discovery through files of one directory, kept alive and watched from an OS thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from dynamo_cli.errors import DiskFull, DynamoError
from dynamo_cli.runtime.discovery.base import Discovery, Watch, WatchEvent, check_key
from dynamo_cli.runtime.discovery.files import Envelope, KeyFiles, new_envelope
from dynamo_cli.runtime.discovery.observer import LEASE_S, Observer
from dynamo_cli.runtime.discovery.owner import this_process
from dynamo_cli.runtime.discovery.queue import QueueWatch

T = TypeVar("T")
_log = logging.getLogger(__name__)
_SCAN_S = 0.2
_TOUCH_S = 2.0
_ROOM_S = 0.5
"""How often a full disk is tried again."""


class _Own:
    """A key this object put."""

    __slots__ = ("envelope", "inode", "path")

    def __init__(self, path: Path, envelope: Envelope, inode: int) -> None:
        self.path = path
        self.envelope = envelope
        self.inode = inode


class _Watcher:
    def __init__(self, observer: Observer, watch: QueueWatch) -> None:
        self.observer = observer
        self.watch = watch
        self.loop = asyncio.get_running_loop()

    def scan(self) -> None:
        try:
            if events := self.observer.scan(time.monotonic()):
                self._hand_over(events)
        except Exception:  # the thread carries the leases: it outlives any single scan
            _log.exception("a scan of the discovery directory failed")

    def _hand_over(self, events: list[WatchEvent]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self.loop.call_soon_threadsafe(self.watch.push, events)


class FileDiscovery(Discovery):
    """Keys under `root`. The thread starts with the first key or watch and ends with `close()`.

    `put` and `create` wait while the disk is full: a process that ended instead would only start again into the same.
    """

    def __init__(self, root: Path) -> None:
        self._files = KeyFiles(root)
        self._owner = this_process()
        self._own: dict[str, _Own] = {}
        self._watchers: list[_Watcher] = []
        self._lock = threading.Lock()
        self._closing = False
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    async def put(self, key: str, value: bytes) -> None:
        path = self._files.path(check_key(key))
        envelope = new_envelope(self._owner, value)

        def write() -> None:
            with self._lock:
                self._own[key] = _Own(path, envelope, self._files.replace(path, envelope))

        await _when_there_is_room(write)
        self._start()

    async def create(self, key: str, value: bytes) -> bool:
        path = self._files.path(check_key(key))
        envelope = new_envelope(self._owner, value)

        def write() -> bool:
            with self._lock:
                inode = self._files.create(path, envelope)
                if inode is not None:
                    self._own[key] = _Own(path, envelope, inode)
                return inode is not None

        created = await _when_there_is_room(write)
        if created:
            self._start()
        return created

    async def delete(self, key: str) -> None:
        with self._lock:
            self._own.pop(key, None)
            try:
                self._files.path(check_key(key)).unlink(missing_ok=True)
            except OSError as error:
                _log.warning("cannot remove %s, it ends in %g s: %s", key, LEASE_S, error.strerror)

    async def get_prefix(self, prefix: str) -> dict[str, bytes]:
        observer = Observer(self._files, prefix)
        await asyncio.to_thread(observer.scan, time.monotonic())
        return observer.values

    @asynccontextmanager
    async def watch_prefix(self, prefix: str) -> AsyncIterator[Watch]:
        observer = Observer(self._files, prefix)
        await asyncio.to_thread(observer.scan, time.monotonic())
        watcher = _Watcher(observer, QueueWatch(observer.values))
        self._watchers = [*self._watchers, watcher]
        self._wake.set()
        self._start()
        try:
            yield watcher.watch
        finally:
            self._watchers = [other for other in self._watchers if other is not watcher]

    async def close(self) -> None:
        self._closing = True
        self._wake.set()
        with self._lock:
            for own in self._own.values():
                _remove(own)
            self._own.clear()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _start(self) -> None:
        if self._thread is None and not self._closing:
            self._thread = threading.Thread(target=self._live, name="discovery-lease", daemon=True)
            self._thread.start()

    def _live(self) -> None:
        touched = time.monotonic()
        while True:
            self._wake.wait(_SCAN_S if self._watchers else _TOUCH_S)
            self._wake.clear()
            if self._closing:
                return
            for watcher in self._watchers:
                watcher.scan()
            if time.monotonic() - touched >= _TOUCH_S - _SCAN_S:
                touched = time.monotonic()
                self._touch_all()

    def _touch_all(self) -> None:
        with self._lock:
            for key, own in list(self._own.items()):
                if self._closing:
                    return
                try:
                    kept = self._touch(own)
                except (OSError, DynamoError) as error:
                    _log.warning("cannot keep the lease of %s: %s", key, error)
                    continue
                if not kept:
                    _log.warning("%s was taken over by another process", key)
                    del self._own[key]

    def _touch(self, own: _Own) -> bool:
        """Say that the owner lives; writes the file again when someone removed it. False when it is another's now."""
        try:
            if os.stat(own.path).st_ino == own.inode:
                os.utime(own.path)
                return True
        except FileNotFoundError:
            inode = self._files.create(own.path, own.envelope)
            own.inode = inode or 0
            return inode is not None
        found = self._files.read(own.path)
        return found is not None and found.version == own.envelope.version


async def _when_there_is_room(write: Callable[[], T]) -> T:
    waited = False
    while isinstance(done := _or_full(write), DiskFull):
        if not waited:
            _log.warning("%s; waiting for room", done)
        waited = True
        await asyncio.sleep(_ROOM_S)
    if waited:
        _log.info("there is room in discovery again")
    return done


def _or_full(write: Callable[[], T]) -> T | DiskFull:
    try:
        return write()
    except DiskFull as error:
        return error


def _remove(own: _Own) -> None:
    with contextlib.suppress(OSError):
        if os.stat(own.path).st_ino == own.inode:
            own.path.unlink()
