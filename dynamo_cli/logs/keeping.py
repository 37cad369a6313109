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
    """Its process ends when `close()` was called, or when we and all writers are gone."""

    def __init__(self, directory: Path, home: Path, limits: Rotation) -> None:
        self._directory = directory
        self._home = home
        self._limits = limits
        self._pipes: dict[str, int] = {}
        self._syncs: dict[str, asyncio.Future[None]] = {}
        self._count = 0
        self._answers = b""
        self._closed = False
        self._process: subprocess.Popen[bytes]
        self._start()

    @property
    def pid(self) -> int:
        return int(self._process.pid)

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
        self._socket.close()
        for service in list(self._pipes):
            self.ended(service)
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        flags = ["-S", "-E"] if sys.platform == "linux" else ["-E"]
        limits = [str(self._limits.max_bytes), str(self._limits.keep)]
        self._process = subprocess.Popen(
            [sys.executable, *flags, keeper.__file__, str(self._directory), *limits],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"DYNAMO_HOME": str(self._home)},
            cwd="/",
            start_new_session=True,
        )
        theirs.close()
        ours.setblocking(False)
        self._socket = ours
        asyncio.get_running_loop().add_reader(ours, self._listen)

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
        self._process.wait()
        logger.warning("the log keeper ended with code %s; another one takes over", self._process.returncode)
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
