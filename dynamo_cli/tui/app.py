"""The terminal UI: what it shows comes from a Feed and a LogReader, what it does goes through Orders and Leaving."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, ClassVar

from textual.app import App, ComposeResult, SystemCommand
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.screen import ModalScreen, Screen

from dynamo_cli.errors import DynamoError
from dynamo_cli.logs.files import OWN_LOG, log_file
from dynamo_cli.runtime.control import DeploymentStatus, ServiceStatus
from dynamo_cli.supervisor.deployments import Deployment
from dynamo_cli.supervisor.launch.screen import Ending
from dynamo_cli.tui import look
from dynamo_cli.tui.ask import Ask, AskNumber
from dynamo_cli.tui.commands import commands
from dynamo_cli.tui.details import DetailSection
from dynamo_cli.tui.feed import Feed, News
from dynamo_cli.tui.history import History
from dynamo_cli.tui.keys import KEYS, KeysLine, KeysPage
from dynamo_cli.tui.leaving import Leaving
from dynamo_cli.tui.log.reader import LogReader
from dynamo_cli.tui.log.section import FILTER, SEARCH, LogSection
from dynamo_cli.tui.orders import Orders
from dynamo_cli.tui.overview import LOW, Overview
from dynamo_cli.tui.panes.columns import gpu_numbers
from dynamo_cli.tui.services import ServicesPane
from dynamo_cli.tui.use import UsePage

LINES_S = 0.1
WIDE = 150
"""From this width on the details stand beside the log."""


class Arrived(Message):
    def __init__(self, news: News) -> None:
        super().__init__()
        self.news = news


class DeploymentApp(App[Ending]):
    """Also the host of Orders and Leaving. `owns`: the deployment was started by this `up`."""

    CSS_PATH = "app.tcss"
    BINDINGS: ClassVar[list[BindingType]] = list(KEYS)
    TITLE = "dynamo"
    VERTICAL_BREAKPOINTS = [(0, "low"), (LOW, "high")]  # noqa: RUF012

    def __init__(self, deployment: Deployment, *, owns: bool) -> None:
        no_colour = "NO_COLOR" in os.environ
        super().__init__(ansi_color=True if no_colour else None)
        for theme in (look.DARK, look.LIGHT, look.PLAIN):
            self.register_theme(theme)
        self.theme = (look.PLAIN if no_colour else look.DARK).name
        self.animation_level = "none"
        self.status = DeploymentStatus(deployment=deployment.name, state="STARTING")
        self._news = News()
        self._history = History()
        self._deployment = deployment
        self._feed = Feed(deployment, lambda news: self.post_message(Arrived(news)))
        self._reader = LogReader()
        self._orders = Orders(deployment.client, self)
        self._leaving = Leaving(deployment.name, deployment.client, self, owns=owns)
        self._overview = Overview(id="overview")
        self._services = ServicesPane(id="services")
        self._logs = LogSection(id="logs")
        self._details = DetailSection(id="details")
        self._only = False
        self._detail_wanted: bool | None = None

    def show(self) -> Ending:
        """Run until it is over. DynamoError when the UI itself failed."""
        ending = self.run()
        if ending is None:
            raise DynamoError("the terminal UI failed; why stands above") from getattr(self, "_exception", None)
        return ending

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Of themes that are not ours."""
        return {"rule": "$panel", "quiet": "$text-muted", "cursor": "$panel", "graph": "$primary"}

    def compose(self) -> ComposeResult:
        yield self._overview
        yield self._services
        with Horizontal(id="lower"):
            yield self._logs
            yield self._details
        yield KeysLine(id="keys")

    def on_mount(self) -> None:
        self._feed.start()
        self._reader.start()
        self.set_interval(LINES_S, self._take_lines)
        self._hear_signals()
        self._draw()

    def on_unmount(self) -> None:
        self._feed.close()
        self._reader.close()

    async def ask(self, question: Ask) -> str:
        return await self.push_screen_wait(question)

    async def ask_number(self, question: AskNumber) -> int:
        return await self.push_screen_wait(question)

    def tell(self, words: str, bad: bool = False) -> None:
        self.notify(words, severity="error" if bad else "information", markup=False)

    def end(self, ending: Ending) -> None:
        self.exit(ending)

    @property
    def selected(self) -> ServiceStatus | None:
        name = self._services.selected
        return next((service for service in self.status.services if service.name == name), None)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        for command in commands(self.status):
            yield SystemCommand(command.title, command.help, partial(self.run_action, command.action))

    def on_arrived(self, message: Arrived) -> None:
        before, now = self._news.status, message.news.status
        if before and now and now.url and (before.state, now.state) == ("STARTING", "READY"):
            self.tell(f"ready at {now.url}/v1; u shows a request to paste")
        self._news = message.news
        self.status = message.news.status or self.status
        self._history.note(None if message.news.gone else self.status.traffic, time.monotonic())
        names = [service.name for service in self.status.services]
        self._reader.follow((name, log_file(self._deployment.paths, name)) for name in [*names, OWN_LOG])
        self._logs.pane.name_services([*names, OWN_LOG])
        self._draw()
        self._leaving.note(gone=bool(message.news.gone))

    def on_resize(self) -> None:
        self._draw()

    def on_services_pane_selected(self) -> None:
        if self._only:
            self._logs.show_service(self._services.selected)
        self._draw_detail()

    def on_services_pane_opened(self) -> None:
        self.action_detail()

    def action_leave(self) -> None:
        self._begin(self._leaving.quit(interrupted=False))

    def action_interrupt(self) -> None:
        """Ctrl-C: of a question it is an answer too."""
        if isinstance(self.screen, Ask | AskNumber):
            self.screen.action_hurry()
        elif isinstance(self.screen, ModalScreen):
            self.screen.dismiss(None)
        else:
            self._begin(self._leaving.quit(interrupted=True))

    def action_stop_all(self) -> None:
        self._begin(self._leaving.stop_after_asking())

    def action_search(self) -> None:
        self._logs.ask(SEARCH)

    def action_filter(self) -> None:
        self._logs.ask(FILTER)

    def action_match(self, step: int) -> None:
        self._logs.go(step)

    def action_follow(self) -> None:
        self._logs.pane.follow(not self._logs.pane.following)

    def action_level(self) -> None:
        self._logs.next_level()

    def action_only(self) -> None:
        self.action_show_log("" if self._logs.of else self._services.selected)

    def action_show_log(self, name: str) -> None:
        """Of one service, "" for all; while it is that of the selected one it goes with the selection."""
        self._only = bool(name) and name == self._services.selected
        self._logs.show_service(name)

    def action_wrap(self) -> None:
        self._logs.pane.wrap(not self._logs.pane.wrapped)

    def action_times(self) -> None:
        self._logs.pane.show_times(not self._logs.pane.timed)

    def action_zoom(self) -> None:
        self.screen.toggle_class("zoomed")
        if self._logs.display:
            self._logs.pane.focus()

    def action_detail(self) -> None:
        self._detail_wanted = not self._details.display
        self._draw_detail()

    def action_step_back(self) -> None:
        """One step back from whatever was opened last."""
        if self._logs.back():
            return
        if self.screen.has_class("zoomed"):
            self.screen.remove_class("zoomed")
        elif self._detail_wanted:
            self._detail_wanted = False
            self._draw_detail()
        elif self._news.gone:
            self.action_leave()

    def action_copy(self) -> None:
        """The selection, else the command in the details, else the lines that are visible."""
        text = self.screen.get_selected_text() or ""
        if not text and self._details.has_focus_within:
            text = self._details.command
        text = text or self._logs.pane.visible_text
        self.copy_to_clipboard(text)
        self.tell(f"copied {len(text.splitlines())} {'line' if text.count(chr(10)) < 2 else 'lines'}")
        self.screen.clear_selection()

    def action_restart(self, name: str = "") -> None:
        self._order(self._orders.restart, name)

    def action_stop(self, name: str = "") -> None:
        self._order(self._orders.stop, name)

    def action_start(self, name: str = "") -> None:
        self._order(self._orders.start, name)

    def action_scale(self, step: int) -> None:
        if self.selected:
            self._begin(self._orders.scale(self.selected.pool, step))

    def action_scale_pool(self, pool: str) -> None:
        self._begin(self._orders.scale(pool, 0))

    def action_toggle_theme(self) -> None:
        self.theme = (look.LIGHT if self.theme == look.DARK.name else look.DARK).name

    def action_keys(self) -> None:
        self.push_screen(KeysPage())

    def action_use(self) -> None:
        if self.status.state == "READY":
            self.push_screen(UsePage(self.status))
        else:
            self.tell(f"{self.status.deployment} is {self.status.state}; there is something to ask when it is READY")

    def _draw(self) -> None:
        """All of it, from what is known now."""
        self._overview.show(self.status, self._news, self._history, self.size)
        self._services.show(self.status, self.size.width - 2)
        self._draw_detail()

    def _draw_detail(self) -> None:
        """Beside the log where there is room, else in its place."""
        wide = self.size.width >= WIDE
        shown = wide if self._detail_wanted is None else self._detail_wanted
        self._details.display = shown
        self._logs.display = wide or not shown
        service = self.selected
        self._feed.watch(service.name if service and shown else "")
        if service and shown:
            detail = self._news.detail if self._news.detail and self._news.detail.name == service.name else None
            self._details.show(service, detail, gpu_numbers(self.status).get(service.name, ""))

    def _take_lines(self) -> None:
        self._logs.add(self._reader.take())

    def _order(self, order: Callable[[str], Coroutine[Any, Any, None]], name: str) -> None:
        """Do it to this service or pool, or to the selected one."""
        if name or self._services.selected:
            self._begin(order(name or self._services.selected))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """In a worker: it may ask, and wait for the supervisor."""
        self.run_worker(work, exit_on_error=True)

    def _hear_signals(self) -> None:
        """Who asks us to end means what we started, too."""
        if self.is_headless or threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(signum, self._end_by_signal, signum == signal.SIGINT)

    def _end_by_signal(self, interrupted: bool) -> None:
        self._begin(self._leaving.end_by_signal(interrupted))
