"""The standard streams of a command: open, and able to take any text."""

from __future__ import annotations

import io
import os
import select
import signal
import sys
import threading


def make_usable() -> None:
    """A closed stream becomes the null device, or the next file gets its number; letters a locale lacks become ?."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def drop_output() -> None:
    """What is still buffered for stdout goes nowhere, so that the interpreter does not complain at its end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def end_with_the_reader() -> None:
    """From now on this process ends when nobody can read its stdout any more, also while it has nothing to write."""
    threading.Thread(target=_end_with_the_reader, daemon=True).start()


def _end_with_the_reader() -> None:
    watched = select.poll()
    watched.register(sys.stdout.fileno(), 0)
    if any(event & (select.POLLERR | select.POLLHUP) for _, event in watched.poll()):
        os._exit(128 + signal.SIGPIPE)
