"""The log keeper of a deployment: a small process that reads what the children write and keeps it in files.

It outlives a supervisor that dies, as long as a child writes, so that no child ever writes into the void. Its standard
input is a socket of the supervisor's: `keep NAME` comes with the reading end of a pipe, `sync N` is answered with `N`
once everything written before is in its file, `end` says that all writers are gone. At its door, a listening socket in
the private directory, the next supervisor takes the place of one that died.
"""

from __future__ import annotations

import functools
import os
import selectors
import signal
import socket
import sys
from pathlib import Path

READ_BYTES = 1 << 18
PACKING_S = 3.0
"""How long the compression of old parts may go on after the end."""


def main() -> None:
    """Run as `python keeper.py DIRECTORY MAX_BYTES KEEP DOOR`; DOOR is the descriptor of a listening socket."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [*(place for place in sys.path if place != here), os.path.dirname(os.path.dirname(here))]
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    directory, max_bytes, keep = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    Keeper(directory, max_bytes, keep, socket.socket(fileno=0), socket.socket(fileno=int(sys.argv[4]))).run()


class Keeper:
    def __init__(self, directory: Path, max_bytes: int, keep: int, control: socket.socket, door: socket.socket) -> None:
        from dynamo_cli.logs.rotating import Compressor, RotatingLog

        self._compressor = Compressor()
        self._open = functools.partial(RotatingLog, max_bytes=max_bytes, keep=keep, compress=self._compressor.add)
        self._directory = directory
        self._control: socket.socket | None = control
        self._pipes: dict[int, str] = {}
        self._logs: dict[str, RotatingLog] = {}
        self._handed: list[int] = []
        self._words = b""
        self._ended = False
        self._selector = selectors.DefaultSelector()
        self._door = door
        for waited_for in (control, door):
            waited_for.setblocking(False)
            self._selector.register(waited_for, selectors.EVENT_READ)

    def run(self) -> None:
        """Until the supervisor said `end`, or is gone and all its children are too."""
        while not self._ended and (self._control or self._pipes):
            for key, _ in self._selector.select():
                if key.fd in self._pipes:
                    self._read(key.fd)
                elif key.fileobj is self._door:
                    self._let_in()
                elif key.fileobj is self._control:
                    self._listen()
        self._drain()
        for log in self._logs.values():
            log.close()
        self._compressor.close(PACKING_S)

    def _let_in(self) -> None:
        """Another supervisor: from now on only this one is heard."""
        try:
            supervisor, _ = self._door.accept()
        except OSError:
            return
        self._part()
        supervisor.setblocking(False)
        self._control = supervisor
        self._selector.register(supervisor, selectors.EVENT_READ)

    def _part(self) -> None:
        if self._control:
            self._selector.unregister(self._control)
            self._control.close()
        for pipe in self._handed:
            os.close(pipe)
        self._control, self._handed, self._words = None, [], b""

    def _listen(self) -> None:
        assert self._control
        try:
            data, handed, _, _ = socket.recv_fds(self._control, 1 << 16, 64)
        except BlockingIOError:
            return
        except OSError:
            data, handed = b"", []
        self._handed += handed
        if not data:
            self._part()
            return
        *lines, self._words = (self._words + data).split(b"\n")
        for line in lines:
            self._obey(*line.decode().split(" ", 1))

    def _obey(self, verb: str, what: str = "") -> None:
        if verb == "keep":
            pipe = self._handed.pop(0)
            os.set_blocking(pipe, False)
            self._pipes[pipe] = what
            if what not in self._logs:
                self._logs[what] = self._open(self._directory / f"{what}.log")
            self._selector.register(pipe, selectors.EVENT_READ)
        elif verb == "sync":
            self._drain()
            self._answer(f"{what}\n".encode())
        elif verb == "end":
            self._ended = True

    def _answer(self, words: bytes) -> None:
        if self._control:
            try:
                self._control.send(words)
            except OSError:
                return

    def _drain(self) -> None:
        """All that has been written until now; a child that never stops writing is left after its pipe's worth."""
        for pipe in list(self._pipes):
            for _ in range(8):
                if not self._read(pipe):
                    break

    def _read(self, pipe: int) -> bool:
        """Whether there may be more."""
        try:
            data = os.read(pipe, READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            self._logs[self._pipes[pipe]].write(data)
            return True
        self._selector.unregister(pipe)
        os.close(pipe)
        name = self._pipes.pop(pipe)
        if name not in self._pipes.values():
            self._logs.pop(name).close()
        return False


if __name__ == "__main__":
    main()
