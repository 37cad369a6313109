"""What shows a deployment on a whole terminal, and the terminal as it was before when that fails."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from dynamo_cli.errors import DynamoError
from dynamo_cli.supervisor.deployments import Deployment

Ending = Literal["stopped", "left", "ended"]
"""The user asked for its end and waited for it, left it running, or it ended by itself."""
Show = Callable[[Deployment], Ending]

HUNG_UP = 128 + signal.SIGHUP
FAILURE = "screen-failure.txt"
"""In the deployment's directory."""
AS_BEFORE = "\x1b[?1049l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1006l\x1b[?2004l\x1b[<u\x1b[?25h\x1b[0m\r"
"""Leaves the alternate screen, mouse, focus, paste and keyboard modes; shows the cursor."""


class ScreenFailed(DynamoError):
    """The one line to tell; the traceback is in a file."""


def shown(deployment: Deployment, show: Show) -> Ending:
    """What `show` returns. ScreenFailed when it raises; after that and an interrupt the terminal is as it was.

    When the terminal goes this process goes with it: whoever draws may wait for ever for one that is not there.
    """
    threading.Thread(target=_go_with_the_terminal, daemon=True).start()
    try:
        with _terminal_as_before():
            return show(deployment)
    except Exception as error:
        raise ScreenFailed(_words(deployment, error)) from None


def _go_with_the_terminal() -> None:
    watched = select.poll()
    watched.register(0, 0)
    if any(event & select.POLLHUP for _, event in watched.poll()):
        os._exit(HUNG_UP)


@contextmanager
def _terminal_as_before() -> Iterator[None]:
    settings = None
    with contextlib.suppress(OSError, ValueError, termios.error):
        settings = termios.tcgetattr(sys.stdin)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError, ValueError, termios.error):
            sys.stdout.write(AS_BEFORE)
            sys.stdout.flush()
            if settings:
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, settings)
        raise


def _words(deployment: Deployment, error: Exception) -> str:
    file = deployment.paths.root / FAILURE
    why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    try:
        file.write_text("".join(traceback.format_exception(error)))
    except OSError as refused:
        return f"the screen failed: {why}; its traceback could not be written to {file}: {refused.strerror}"
    return f"the screen failed: {why}; its traceback is in {file}, --no-tui does without it"
