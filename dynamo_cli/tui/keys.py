"""Every key: a line of those used most, and a page of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Click
from textual.screen import ModalScreen
from textual.widgets import Static

from dynamo_cli.tui.look import ACCENT, QUIET
from dynamo_cli.tui.panes.cells import GAP


def _key(key: str, action: str, name: str, help: str, shown: str = "", *, line: bool = False) -> Binding:
    """`line`: it is in the line of keys, where there is room. Ctrl-C comes before everything."""
    return Binding(key, action, name, show=line, key_display=shown or key, tooltip=help, priority="ctrl+c" in key)


KEYS = (
    _key("q", "leave", "Quit", "Quit; asks what becomes of what this `up` started", line=True),
    _key("question_mark", "keys", "Keys", "This page", "?", line=True),
    _key("u", "use", "Use", "A request to paste, the same in Python, what to try next", line=True),
    _key("slash", "search", "Search", "Search the log for a regular expression", "/", line=True),
    _key("n", "match(1)", "Next", "The next line that was searched for"),
    _key("N", "match(-1)", "Previous", "The one before"),
    _key("f", "follow", "Follow", "Stay at the last line, or stop that", line=True),
    _key("l", "level", "Level", "Every level, or from info, warning or error on", line=True),
    _key("o", "only", "Only", "The log of the selected service, or of all", line=True),
    _key("w", "wrap", "Wrap", "Fold long lines, or scroll sideways", line=True),
    _key("d", "detail", "Details", "Everything about the selected service", line=True),
    _key("r", "restart", "Restart", "Restart the selected service", line=True),
    _key("x", "stop", "Stop", "Stop the selected service", line=True),
    _key("s", "start", "Start", "Start the selected service", line=True),
    _key("plus,equals_sign", "scale(1)", "Scale", "More replicas of its pool", "+", line=True),
    _key("minus", "scale(-1)", "Fewer", "Fewer replicas of its pool", "-"),
    _key("c", "copy", "Copy", "Copy the selection, a command, or the visible lines", line=True),
    _key("ampersand", "filter", "Filter", "Only lines in which a regular expression is found", "&"),
    _key("t", "times", "Times", "When each line arrived, UTC"),
    _key("z", "zoom", "Zoom", "Only the log or the details, or everything"),
    _key("ctrl+p,colon", "command_palette", "Commands", "Everything that can be done, by name", "^p :"),
    _key("ctrl+z", "suspend_process", "Suspend", "To the shell; `fg` comes back", "^z"),
    _key("escape", "step_back", "Back", "Drop the search, filter, zoom or details", "esc"),
    _key("ctrl+c,ctrl+q", "interrupt", "Quit", "As q; once it stops: end it at once", "^c"),
)
"""Of the app, in the order of their use."""
MOVING = (
    ("↑ ↓", "Select a service, or scroll the log"),
    ("enter", "Details of the selected service"),
    ("tab", "From the services to the log and the details"),
    ("home end", "The first line; the last one, which follows again"),
)


class KeysLine(Static):
    """The keys that there is room for. A click on one is as good as pressing it."""

    def render(self) -> Content:
        return Content.assemble(" ", *(piece for key in self._fitting() for piece in _drawn(key)))

    async def on_click(self, event: Click) -> None:
        end = 1
        for key in self._fitting():
            end += _width(key)
            if event.x < end:
                await self.app.run_action(key.action)
                return

    def _fitting(self) -> list[Binding]:
        fitting, room = [], self.size.width - 1 + len(GAP)
        for key in KEYS:
            room -= _width(key) if key.show else 0
            if key.show and room >= 0:
                fitting.append(key)
        return fitting


class KeysPage(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter,space", "dismiss", "Close", priority=True)
    ]

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog wide"):
            yield Static(page(KEYS))


def page(keys: Sequence[Binding]) -> Content:
    """A line for each."""
    lines = [*MOVING, *((key.key_display or key.key, key.tooltip) for key in keys)]
    return Content("\n").join(
        Content.assemble((f"{shown:>9}  ", f"bold {ACCENT}"), (words, "")) for shown, words in lines
    )


def _drawn(key: Binding) -> tuple[tuple[str, str], ...]:
    return ((key.key_display or key.key, f"bold {ACCENT}"), (f" {key.description}{GAP}", QUIET))


def _width(key: Binding) -> int:
    return sum(len(words) for words, _ in _drawn(key))
