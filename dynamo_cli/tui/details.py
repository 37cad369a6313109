"""Everything about the selected service, to scroll through."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from dynamo_cli.protocol.detail import ServiceDetail
from dynamo_cli.runtime.control import ServiceStatus
from dynamo_cli.tui.look import ACCENT
from dynamo_cli.tui.panes.cells import Cell
from dynamo_cli.tui.panes.detail import command, detail_lines
from dynamo_cli.tui.panes.titles import rule


class DetailSection(Vertical):
    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._title = Static(id="detail-title")
        self._scroll = VerticalScroll(id="detail-scroll")
        self._text = Static(id="detail")
        self._shown: tuple[ServiceStatus, ServiceDetail | None, str] | None = None

    def compose(self) -> ComposeResult:
        yield self._title
        with self._scroll:
            yield self._text

    @property
    def command(self) -> str:
        """The command of the service that is shown, "" while it is not known."""
        return command(self._shown[1]) if self._shown and self._shown[1] else ""

    def show(self, service: ServiceStatus, detail: ServiceDetail | None, gpus: str) -> None:
        self._shown = service, detail, gpus
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def on_descendant_focus(self) -> None:
        self._draw()

    def on_descendant_blur(self) -> None:
        self._draw()

    def _draw(self) -> None:
        focused = self._scroll.has_focus
        title = rule([Cell("details", f"bold {ACCENT}" if focused else "bold")], [], self.size.width)
        self._title.update(title)
        room = self._scroll.scrollable_content_region.width - 2
        if self._shown and room > 0:
            self._text.update(Content("\n").join(detail_lines(*self._shown, room)))
