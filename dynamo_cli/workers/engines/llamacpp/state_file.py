"""Files through which llama.cpp's process and this one pass the state of a sequence."""

from __future__ import annotations

import mmap
import os
import tempfile
from contextlib import suppress
from types import TracebackType


class StateFile:
    """One of them; closing it removes it, but not what has been mapped of it. `name` is what llama.cpp is told."""

    def __init__(self, descriptor: int, name: str, path: str) -> None:
        self.name = name
        self._descriptor = descriptor
        self._path = path

    def __enter__(self) -> StateFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        if self._path:
            with suppress(FileNotFoundError):
                os.unlink(self._path)

    def memory(self, size: int | None = None) -> mmap.mmap:
        """What it holds, writable; of `size` bytes when it is to be filled."""
        if size is not None:
            os.truncate(self._descriptor, size)
        return mmap.mmap(self._descriptor, 0)


class StateFiles:
    """On Linux they are memory of this process that the other one opens by /proc: no disk is touched and nothing is
    left, however the processes end. Elsewhere they lie in `directory`.
    """

    def __init__(self, directory: str, *, in_memory: bool = hasattr(os, "memfd_create")) -> None:
        self._in_memory = in_memory
        self._directory = directory

    @property
    def path(self) -> str:
        """The directory that llama.cpp is told, with a slash at its end."""
        return f"/proc/{os.getpid()}/fd/" if self._in_memory else os.path.join(self._directory, "")

    def open(self) -> StateFile:
        if self._in_memory:
            descriptor = os.memfd_create("llama-state", os.MFD_CLOEXEC)
            return StateFile(descriptor, str(descriptor), "")
        descriptor, path = tempfile.mkstemp(dir=self._directory)
        return StateFile(descriptor, os.path.basename(path), path)
