"""What a foreground `up` shows: the children's logs as they come, the state, and how to use what is ready."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

import msgspec

from dynamo_cli.logs.files import OWN_LOG, log_file
from dynamo_cli.logs.tail import Line, LogFollower
from dynamo_cli.runtime.control import DeploymentStatus
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.runtime.within import within
from dynamo_cli.supervisor import table
from dynamo_cli.supervisor.banner import banner
from dynamo_cli.supervisor.events import EventBus
from dynamo_cli.supervisor.waiting import Waiting

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

logger = logging.getLogger(__name__)

LOOK_S = 0.1
LAST_WORDS_S = 2.0
"""How long nobody may read the last lines."""
PALETTE = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")


class PlainView:
    """Lines to a stream that is no terminal: `decode-0 | text`."""

    def __init__(self, services: Sequence[str], logs: TextIO, data: TextIO | None) -> None:
        self._width = max(map(len, [*services, OWN_LOG]))
        self._logs = logs
        self._data = data
        self._state = ""
        self._waiting = Waiting()

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
        for news in self._waiting.lines(status):
            self._logs.write(f"{'dynamo'.ljust(self._width)} | {news}\n")
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
        shown = (width, status.state, status.reason, table.uptime(status.uptime_s), *status.notes, *table.rows(status))
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


class _Showing(threading.Thread):
    """Writes from a thread of its own: a reader that does not read (Ctrl-S, a full pipe) must not stop supervision.

    `last_words`: how many lines were shown since all was over.
    """

    def __init__(
        self, view: PlainView | RichView, follower: LogFollower, paths: DeploymentPaths, ended: Callable[[], object]
    ) -> None:
        super().__init__(daemon=True)
        self._view = view
        self._follower = follower
        self._paths = paths
        self._ended = ended
        self._status: DeploymentStatus | None = None
        self._news = threading.Event()
        self._over = False
        self.last_words = 0

    def tell(self, status: DeploymentStatus, over: bool = False) -> None:
        self._status, self._over = status, over
        self._news.set()

    def run(self) -> None:
        try:
            while not self._over:
                self._news.wait()
                self._news.clear()
                self._look()
            for line in self._follower.rest():
                self._view.line(line)
                self.last_words += 1
            self._look()
        except OSError as error:
            logger.warning("nothing more is shown: cannot write to stdout: %s", error.strerror)
        finally:
            with contextlib.suppress(OSError):
                self._view.close()
            self._follower.close()
            with contextlib.suppress(RuntimeError):  # nobody waits any more
                self._ended()

    def _look(self) -> None:
        assert self._status
        look(self._view, self._follower, self._paths, self._status)


def look(view: PlainView | RichView, follower: LogFollower, paths: DeploymentPaths, status: DeploymentStatus) -> None:
    """Show what is new."""
    follower.follow((service.name, log_file(paths, service.name)) for service in status.services)
    for line in follower.read():
        view.line(line)
    view.status(status)


async def show(
    view: PlainView | RichView,
    follower: LogFollower,
    paths: DeploymentPaths,
    bus: EventBus,
    status: Callable[[], DeploymentStatus],
) -> None:
    """New lines a few times a second and every change at once, until the bus is closed."""
    loop, ended, open_ = asyncio.get_running_loop(), asyncio.Event(), True
    showing = _Showing(view, follower, paths, lambda: loop.call_soon_threadsafe(ended.set))
    with bus.subscribe() as changes:
        showing.tell(status())
        showing.start()
        while open_:
            with contextlib.suppress(asyncio.TimeoutError):
                open_ = await asyncio.wait_for(changes.get(), LOOK_S) is not None
            showing.tell(status(), over=not open_)
    shown = -1
    while not ended.is_set() and showing.last_words > shown:
        shown = showing.last_words
        with contextlib.suppress(asyncio.TimeoutError):
            await within(LAST_WORDS_S, ended.wait())


def as_json(status: DeploymentStatus) -> str:
    """One line of JSON."""
    return msgspec.json.encode(status).decode()
