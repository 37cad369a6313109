"""The table of services: a heading, and a line for each that can be selected."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from dynamo_cli.runtime.control import DeploymentStatus
from dynamo_cli.tui.look import ACCENT
from dynamo_cli.tui.panes.columns import table

SELECTED = "▸"


class ServicesPane(Vertical):
    class Selected(Message):
        """Another service is selected."""

    class Opened(Message):
        """Enter, or a click on the selected one."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._head = Static(id="services-head")
        self._list = OptionList(id="services-list")
        self._names: list[str] = []
        self._heirs: dict[str, str] = {}
        self._rows: list[Content] = []
        self._drawn: list[Content] = []

    def compose(self) -> ComposeResult:
        yield self._head
        yield self._list

    @property
    def selected(self) -> str:
        """A name, "" while there is no service."""
        at = self._list.highlighted
        return self._names[at] if at is not None and at < len(self._names) else ""

    def show(self, status: DeploymentStatus, width: int) -> None:
        drawn = table(status, width)
        self._head.update(drawn.head)
        names = [service.name for service in status.services]
        self._heirs.update((service.replaces, service.name) for service in status.services if service.replaces)
        if names != self._names:
            self._renew(names)
        self._rows = drawn.rows
        self._draw()

    def _renew(self, names: list[str]) -> None:
        selected = self._still_there(names)
        self._names, self._drawn = names, [Content("")] * len(names)
        self._list.clear_options()
        self._list.add_options(Option("") for _ in names)
        if names:
            self._list.highlighted = selected

    def _still_there(self, names: list[str]) -> int:
        """Where the selected service is now: else what took over from it, else what moved to its place. Another one
        must not get the order that was meant for it."""
        name, at = self.selected, self._list.highlighted or 0
        while name and name not in names:
            name = self._heirs.pop(name, "")
        return names.index(name) if name else max(0, min(at, len(names) - 1))

    def _draw(self) -> None:
        """The rows that have changed; the selected one is marked, for eyes and screens that see no colour."""
        for index, row in enumerate(self._rows):
            marked = Content.assemble((SELECTED, ACCENT) if index == self._list.highlighted else " ", row)
            if not marked.is_same(self._drawn[index]):
                self._drawn[index] = marked
                self._list.replace_option_prompt_at_index(index, marked)

    def on_option_list_option_highlighted(self) -> None:
        if len(self._rows) == len(self._names):
            self._draw()
        self.post_message(self.Selected())

    def on_option_list_option_selected(self) -> None:
        self.post_message(self.Opened())
