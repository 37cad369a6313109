"""Short-lived processes for what could hang or crash: a driver, an import."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

REAP_S = 1.0
"""A process that the kernel does not let go is left to it."""

_living: set[subprocess.Popen[bytes]] = set()


class Ended(NamedTuple):
    """`code` is None for one that was ended because its time was over, negative for a signal."""

    code: int | None
    out: bytes
    err: str


def run(argv: Sequence[str], timeout_s: float) -> Ended:
    """Run to its end or for `timeout_s`."""
    pipe = subprocess.PIPE
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True)
    _living.add(child)
    try:
        out, err = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=REAP_S)
        return Ended(None, b"", "")
    finally:
        _living.discard(child)
    return Ended(child.returncode, out, err.decode(errors="replace"))


def end_all() -> None:
    """For who is interrupted while another thread waits for one."""
    for child in list(_living):
        child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(REAP_S)  # its pipes are the other thread's to read
