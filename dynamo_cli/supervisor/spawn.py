"""Starting one child: its own session, our marks in its environment, its end watched and never missed.

Also watching one that another supervisor started.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from dynamo_cli.supervisor.exits import UNKNOWN
from dynamo_cli.supervisor.processes import ProcessId, alive, entry, identify, send

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
POLL_S = 0.05


class Child:
    """A process that a supervisor of this deployment started, leader of its own session and group.

    This class watches one that a supervisor before us started: how it ends the kernel tells only its parent.
    """

    def __init__(self, identity: ProcessId) -> None:
        self.id = identity
        self._exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._watch()

    async def wait(self) -> int:
        """Its exit code, negative for a signal, or UNKNOWN. Its pid is not reused before `reap` if it is our child."""
        return await asyncio.shield(self._exited)

    def reap(self) -> None:
        """Let the kernel forget it."""

    def signal(self, signum: int, group: bool = False) -> None:
        """Signal the process, or its whole group."""
        if not group:
            send(self.id, signum)
            return
        try:
            found = entry(self.id.pid)
            if found and found.start == self.id.start:
                os.killpg(self.id.pid, signum)
        except (ProcessLookupError, PermissionError):
            return

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            handle = os.pidfd_open(self.id.pid)
        except (AttributeError, OSError):
            loop.call_soon(self._poll)
            return
        loop.add_reader(handle, self._on_exit, handle)
        if not alive(self.id):
            loop.call_soon(self._on_exit, handle)  # or another process has its pid by now

    def _on_exit(self, handle: int) -> None:
        if not self._exited.done():
            asyncio.get_running_loop().remove_reader(handle)
            os.close(handle)
            self._exited.set_result(self._code())

    def _poll(self) -> None:
        if self._still_there():
            asyncio.get_running_loop().call_later(POLL_S, self._poll)
        else:
            self._exited.set_result(self._code())

    def _still_there(self) -> bool:
        return alive(self.id)

    def _code(self) -> int:
        return UNKNOWN


class OwnChild(Child):
    """One that we started. When it has ended it stays a zombie until `reap`."""

    def __init__(self, popen: subprocess.Popen[bytes], identity: ProcessId) -> None:
        self._popen = popen
        super().__init__(identity)

    def reap(self) -> None:
        self._popen.wait()

    def _still_there(self) -> bool:
        return self._popen.poll() is None

    def _code(self) -> int:
        if self._popen.returncode is not None:
            return self._popen.returncode
        status = os.waitid(os.P_PID, self.id.pid, os.WEXITED | os.WNOWAIT)
        assert status is not None
        return status.si_status if status.si_code == os.CLD_EXITED else -status.si_status


def start(
    argv: Sequence[str],
    environ: Mapping[str, str],
    *,
    cwd: str = "",
    output: int,
    pass_fds: Collection[int] = (),
    dies_with_us: bool,
) -> Child:
    """Start a child that writes to the descriptor `output`. Only from the main thread. OSError when it cannot."""
    popen = subprocess.Popen(
        list(argv),
        env=dict(environ),
        cwd=cwd or None,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=tuple(pass_fds),
        start_new_session=True,
        preexec_fn=die_with_parent() if dies_with_us else None,
    )
    return OwnChild(popen, identify(popen.pid) or ProcessId(popen.pid, 0))


def die_with_parent() -> Callable[[], None] | None:
    """What a child calls before exec so that the kernel kills it when our main thread ends; None where it cannot."""
    prctl = _prctl()
    if prctl is None:
        return None
    parent, kill, lost = os.getpid(), int(signal.SIGKILL), 1

    def before_exec() -> None:
        prctl(PR_SET_PDEATHSIG, kill, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(lost)

    return before_exec


def adopt_orphans() -> None:
    """Make this process the parent of its descendants' orphans, where the kernel can."""
    prctl = _prctl()
    if prctl is not None:
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _prctl() -> Any:
    if sys.platform != "linux":
        return None
    return ctypes.CDLL(None, use_errno=True).prctl
