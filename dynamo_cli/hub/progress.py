"""How a fetch tells how far it is."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Progress = Callable[[str, int, int], None]
"""(what, bytes done, bytes in all; 0 when not known). May be called from another thread."""

POLL_S = 0.2


def ignore(what: str, done: int, total: int) -> None:
    pass


def file_sizes(folder: Path) -> list[int]:
    """Sizes in bytes of the files under `folder`; what vanishes meanwhile is left out."""
    return [size for file in folder.rglob("*") if (size := _size(file)) is not None]


def _size(file: Path) -> int | None:
    try:
        status = file.lstat()
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


@contextmanager
def watching(what: str, folder: Path, total: int, progress: Progress) -> Iterator[None]:
    """Report the growth of `folder` while the body, which cannot report itself, fills it."""
    before = sum(file_sizes(folder))
    done = threading.Event()

    def report() -> None:
        while not done.wait(POLL_S):
            progress(what, min(sum(file_sizes(folder)) - before, total), total)

    reporter = threading.Thread(target=report, name="fetch-progress", daemon=True)
    reporter.start()
    try:
        yield
    finally:
        done.set()
        reporter.join()
