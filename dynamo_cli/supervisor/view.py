"""What a foreground `up` shows: the children's logs as they come, the state, and how to use what is ready."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

import msgspec

from dynamo_cli.logs.files import OWN_LOG
from dynamo_cli.logs.tail import Line, LogFollower
from dynamo_cli.runtime.control import DeploymentStatus
from dynamo_cli.supervisor import table
from dynamo_cli.supervisor.events import EventBus

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

logger = logging.getLogger(__name__)

LOOK_S = 0.1
PALETTE = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")


class PlainView:
    """Lines to a stream that is no terminal: `decode-0 | text`."""

    def __init__(self, services: Sequence[str], logs: TextIO, data: TextIO | None) -> None:
        self._width = max(map(len, [*services, OWN_LOG]))
        self._logs = logs
        self._data = data
        self._state = ""

    def line(self, line: Line) -> None:
        self._logs.write(f"{line.service.ljust(self._width)} | {line.text}\n")

    def status(self, status: DeploymentStatus) -> None:
        if status.state != self._state:
            self._state = status.state
            if self._data:
                self._data.write(as_json(status) + "\n")
                self._data.flush()
            elif status.state == "READY":
                self._logs.write(banner(status) + "\n")
        self._logs.flush()

    def close(self) -> None:
        self._logs.flush()


class RichView:
    """A table that stays below the coloured lines of a terminal."""

    def __init__(self, services: Sequence[str], console: Console | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        names = [*services, OWN_LOG]
        self._width = max(map(len, names))
        self._colours = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}
        self._console = console or Console(highlight=False)
        self._live: Live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()
        self._shown: tuple[object, ...] = ()
        self._greeted = self._stopping = False

    def line(self, line: Line) -> None:
        from rich.text import Text

        prefix = (f"{line.service.ljust(self._width)} │ ", self._colours.get(line.service, ""))
        self._console.print(Text.assemble(prefix, Text.from_ansi(line.text)), soft_wrap=True)

    def status(self, status: DeploymentStatus) -> None:
        if status.state == "READY" and not self._greeted:
            self._greeted = True
            self._console.print(banner(status), style="green", markup=False, soft_wrap=True)
        if status.state == "STOPPING" and not self._stopping:
            self._stopping = True
            self._console.print("stopping in order; Ctrl-C again ends it at once", style="yellow")
        width = self._console.width
        shown = (width, status.state, status.reason, table.uptime(status.uptime_s), *table.rows(status))
        if shown != self._shown:
            self._shown = shown
            self._live.update(table.rich_table(status, width, one_line=True), refresh=True)

    def close(self) -> None:
        self._live.stop()


def open_view(services: Sequence[str], as_json: bool) -> PlainView | RichView:
    """The view that fits the standard streams; with `as_json` only JSON goes to stdout."""
    if as_json:
        return PlainView(services, sys.stderr, sys.stdout)
    can_redraw = sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    return RichView(services) if can_redraw else PlainView(services, sys.stdout, None)


async def show(
    view: PlainView | RichView, follower: LogFollower, bus: EventBus, status: Callable[[], DeploymentStatus]
) -> None:
    """New lines a few times a second and every change at once, until the bus is closed."""
    open_ = True
    try:
        with bus.subscribe() as changes:
            while open_:
                _look(view, follower, status)
                with contextlib.suppress(asyncio.TimeoutError):
                    open_ = await asyncio.wait_for(changes.get(), LOOK_S) is not None
            _look(view, follower, status)
    except OSError as error:
        logger.warning("nothing more is shown: cannot write to stdout: %s", error.strerror)
    finally:
        with contextlib.suppress(OSError):
            view.close()


def as_json(status: DeploymentStatus) -> str:
    """One line of JSON."""
    return msgspec.json.encode(status).decode()


def banner(status: DeploymentStatus) -> str:
    """The URL and a request to paste."""
    if not status.url:
        return f"{status.deployment} is ready"
    lines = [f"ready at {status.url}/v1"]
    if status.models:
        body = {"model": status.models[0], "messages": [{"role": "user", "content": "What color is the sky?"}]}
        header = "Content-Type: application/json"
        lines.append(f"  curl {status.url}/v1/chat/completions -H '{header}' -d '{json.dumps(body)}'")
    return "\n".join(lines)


def _look(view: PlainView | RichView, follower: LogFollower, status: Callable[[], DeploymentStatus]) -> None:
    for line in follower.read():
        view.line(line)
    view.status(status())
