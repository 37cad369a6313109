"""The supervisor's end of the log keeper: pipes for the children, and another keeper when one dies."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dynamo_cli.errors import UsageError
from dynamo_cli.logs import keeper
from dynamo_cli.runtime.within import within

logger = logging.getLogger(__name__)

MAX_BYTES, KEEP = 64 << 20, 5
LEAST_BYTES = 4096
PIPE_BYTES = 1 << 18
SYNC_S = 1.0
END_S = 5.0
AGAIN_S = 0.1
"""Before another keeper starts: one that cannot live must not keep us busy."""


class Rotation(NamedTuple):
    """`max_bytes` of a log file before it becomes an archive, and how many archives of it are kept."""

    max_bytes: int = MAX_BYTES
    keep: int = KEEP


def rotation(environ: Mapping[str, str] = os.environ) -> Rotation:
    """From DYN_LOG_MAX_BYTES and DYN_LOG_KEEP; UsageError for a value that is none."""
    return Rotation(
        _whole(environ, "DYN_LOG_MAX_BYTES", MAX_BYTES, LEAST_BYTES), _whole(environ, "DYN_LOG_KEEP", KEEP, 0)
    )


def _whole(environ: Mapping[str, str], name: str, default: int, least: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or int(text) < least:
        raise UsageError(f"{name}={text}: expected a whole number, {least} or more")
    return int(text)


class LogKeeper:
    """Its process ends when `close()` was called, or when we and all writers are gone.

    `door`: where it waits for the next supervisor, should this one die. `pipes`: the reading ends of what living
    children of a dead supervisor write to, None without such children. Their keeper goes on, or another one begins.
    """

    def __init__(
        self, directory: Path, home: Path, limits: Rotation, door: Path, pipes: Mapping[str, int] | None = None
    ) -> None:
        self._directory = directory
        self._home = home
        self._limits = limits
        self._door = door
        self._pipes = dict(pipes or {})
        self._syncs: dict[str, asyncio.Future[None]] = {}
        self._count = 0
        self._answers = b""
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None
        if pipes is None or not self._join():
            self._start()
            for service in self._pipes:
                self._hand_over(service)

    @property
    def pids(self) -> set[int]:
        """Of our child that keeps; empty when a dead supervisor's does."""
        return {int(self._process.pid)} if self._process else set()

    def pipe(self, service: str) -> int:
        """A descriptor for the output of the service's next incarnation; the caller closes it."""
        reading, writing = os.pipe()
        with contextlib.suppress(AttributeError, OSError):
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.ended(service)
        self._pipes[service] = reading
        self._hand_over(service)
        return writing

    def ended(self, service: str) -> None:
        """Nobody writes for it any more."""
        reading = self._pipes.pop(service, None)
        if reading is not None:
            os.close(reading)

    async def synced(self) -> None:
        """What was written until now is in the files, or a moment has passed."""
        self._count += 1
        number, done = str(self._count), asyncio.get_running_loop().create_future()
        self._syncs[number] = done
        self._tell(f"sync {number}")
        try:
            await within(SYNC_S, done)
        except asyncio.TimeoutError:
            logger.warning("the log keeper does not answer")
        finally:
            self._syncs.pop(number, None)

    def close(self) -> None:
        """All writers are gone: the last lines are written, and the keeper ends."""
        self._closed = True
        self._tell("end")
        asyncio.get_running_loop().remove_reader(self._socket)
        for service in list(self._pipes):
            self.ended(service)
        if self._process is None:
            self._await_its_end()
        self._socket.close()
        if self._process:
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _await_its_end(self) -> None:
        """Of a keeper that is not our child: its socket tells."""
        self._socket.settimeout(END_S)
        with contextlib.suppress(OSError):
            while self._socket.recv(4096):
                continue

    def _join(self) -> bool:
        """Take the dead supervisor's place at the keeper that it left."""
        joined = socket.socket(socket.AF_UNIX)
        try:
            joined.connect(str(self._door))
        except OSError:
            joined.close()
            return False
        self._listen_to(joined)
        return True

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        flags = ["-S", "-E"] if sys.platform == "linux" else ["-E"]
        limits = [str(self._limits.max_bytes), str(self._limits.keep)]
        with theirs, self._open_door() as door:
            self._process = subprocess.Popen(
                [sys.executable, *flags, keeper.__file__, str(self._directory), *limits, str(door.fileno())],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[door.fileno()],
                env={"DYNAMO_HOME": str(self._home)},
                cwd="/",
                start_new_session=True,
            )
        self._listen_to(ours)

    def _open_door(self) -> socket.socket:
        """It is there before the keeper is, so that there is no keeper without one."""
        self._door.unlink(missing_ok=True)
        door = socket.socket(socket.AF_UNIX)
        mask = os.umask(0o177)
        try:
            door.bind(str(self._door))
        finally:
            os.umask(mask)
        door.listen(1)
        return door

    def _listen_to(self, control: socket.socket) -> None:
        control.setblocking(False)
        self._socket = control
        asyncio.get_running_loop().add_reader(control, self._listen)

    def _listen(self) -> None:
        try:
            data = self._socket.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._replace()
            return
        *numbers, self._answers = (self._answers + data).split(b"\n")
        for number in numbers:
            done = self._syncs.get(number.decode())
            if done and not done.done():
                done.set_result(None)

    def _replace(self) -> None:
        """The keeper died. The pipes hold what it had not read, and their writers wait for the next one."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        how = f"with code {self._process.wait()}" if self._process else "too"
        logger.warning("the log keeper ended %s; another one takes over", how)
        asyncio.get_running_loop().call_later(AGAIN_S, self._begin_again)

    def _begin_again(self) -> None:
        if self._closed:
            return
        self._start()
        for service in self._pipes:
            self._hand_over(service)

    def _hand_over(self, service: str) -> None:
        with contextlib.suppress(OSError):
            socket.send_fds(self._socket, [f"keep {service}\n".encode()], [self._pipes[service]])

    def _tell(self, words: str) -> None:
        with contextlib.suppress(OSError):
            self._socket.send(f"{words}\n".encode())
