"""Asks again and again how busy GPUs are, of a process that is started once and outlives no question unanswered."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence

import msgspec

from dynamo_cli.gpus.asking import library_there
from dynamo_cli.protocol.measures import GpuMeasures

COMMAND = (sys.executable, "-m", "dynamo_cli.gpus.measure")
PATIENCE_S = 5.0
REST_S = 60.0
"""How long a driver is left alone that did not answer, or could not be asked."""


class GpuMeter:
    """For one thread at a time. `pids`: the asking process's, for who collects the ends of unknown children.

    `problem`: why the last question had no answer, "" when it had.
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self.pids: set[int] = set()
        self.problem = ""
        self._patience_s = patience_s
        self._child: subprocess.Popen[bytes] | None = None
        self._rests_until = 0.0

    def measure(self, uuids: Sequence[str]) -> list[GpuMeasures]:
        """Those of the GPUs that the driver tells of, none while it does not answer."""
        if time.monotonic() < self._rests_until:
            return []
        if not library_there():
            return self._rest("no NVIDIA driver")
        try:
            line = self._ask(msgspec.json.encode(uuids) + b"\n")
            found = msgspec.json.decode(line, type=list[GpuMeasures])
        except (OSError, ValueError, msgspec.DecodeError) as error:  # ValueError: it was closed meanwhile
            return self._rest(str(error))
        self.problem = ""
        return found

    def interrupt(self) -> None:
        """Let a question that waits fail at once; from any thread."""
        child = self._child
        if child is not None:
            child.kill()

    def close(self) -> None:
        """End the asking process. Idempotent."""
        self.interrupt()
        child, self._child = self._child, None
        if child is None:
            return
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it may be stuck in the driver
            child.wait(1.0)
        self.pids.discard(child.pid)

    def _ask(self, question: bytes) -> bytes:
        """OSError when no answer comes in time."""
        child = self._child = self._child or self._start()
        assert child.stdin and child.stdout
        child.stdin.write(question)
        child.stdin.flush()
        line, deadline = b"", time.monotonic() + self._patience_s
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([child.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(f"the NVIDIA driver did not answer within {self._patience_s:g} s")
            some = os.read(child.stdout.fileno(), 1 << 16)
            if not some:
                raise ConnectionError("the NVIDIA driver cannot be asked how busy its GPUs are")
            line += some
        return line

    def _start(self) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        child = subprocess.Popen(
            COMMAND, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, bufsize=0, start_new_session=True
        )
        self.pids.add(child.pid)
        return child

    def _rest(self, problem: str) -> list[GpuMeasures]:
        self.problem = problem
        self._rests_until = time.monotonic() + REST_S
        self.close()
        return []
