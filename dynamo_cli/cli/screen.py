"""Whether a command shows a deployment on the whole terminal, or in lines."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dynamo_cli.supervisor.deployments import Deployment
    from dynamo_cli.supervisor.launch.screen import Ending


PACKAGE = "textual"
"""What the screen is made with."""


class Run(Protocol):
    """See dynamo_cli.tui.run."""

    def __call__(self, deployment: Deployment, *, owns: bool) -> Ending: ...


def screen(no_tui: bool) -> Run | None:
    """What shows a deployment on this terminal; None for lines, which stderr is told of when a package is missing."""
    if no_tui or not wanted(os.environ) or not _is_ours():
        return None
    try:
        importlib.import_module(PACKAGE)
    except ImportError as error:
        print(f"dynamo: lines instead of a screen, as {error}; `pip install {PACKAGE}` helps", file=sys.stderr)
        return None
    from dynamo_cli.tui import run

    return run


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment has a terminal that can, and nothing in it speaks against a screen."""
    from dynamo_cli.runtime.switches import is_on

    can = environ.get("TERM", "dumb") not in ("", "dumb", "unknown")
    return can and not is_on("CI", environ) and not is_on("DYN_NO_TUI", environ)


def _is_ours() -> bool:
    """A terminal to write to and to read from, which nobody does who runs in the background."""
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:
        return False
