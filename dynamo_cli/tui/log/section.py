"""The log with the line above it, which tells what is seen of it, and the line below, in which one types."""

from __future__ import annotations

import re

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Static

from dynamo_cli.logs.levels import NAMES
from dynamo_cli.tui.log.entry import Entry
from dynamo_cli.tui.log.pane import LogPane
from dynamo_cli.tui.log.view import Choice
from dynamo_cli.tui.panes.titles import log_title

LEVELS = ("", "info", "warning", "error")
SEARCH, FILTER = "search", "filter"


class LogSection(Vertical):
    """`of`: the service whose lines are seen, "" for all."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.of = ""
        self.pane = LogPane(id="log")
        self._title = Static(id="log-title")
        self._input = Input(id="log-input", compact=True)
        self._level = 0
        self._filter: re.Pattern[str] | None = None
        self._asked = SEARCH

    def compose(self) -> ComposeResult:
        yield self._title
        yield self.pane
        yield self._input

    def add(self, entries: list[Entry]) -> None:
        if entries:
            self.pane.add(entries)

    def show_service(self, name: str) -> None:
        """Only its lines; "" for those of all."""
        if name != self.of:
            self.of = name
            self._choose()

    def next_level(self) -> None:
        self._level = (self._level + 1) % len(LEVELS)
        self._choose()

    def ask(self, what: str) -> None:
        """Let a pattern be typed, to SEARCH or to FILTER by."""
        self._asked = what
        self._input.placeholder = {
            SEARCH: "search: a regular expression; then n and N",
            FILTER: "only lines that match this regular expression; empty for all",
        }[what]
        self._input.value = ""
        self._input.display = True
        self._input.focus()

    def go(self, step: int) -> None:
        """To the next match, or with -1 to the one before."""
        if not self.pane.pattern:
            self.ask(SEARCH)
        elif not self.pane.next_match(step):
            self.notify(f"not found: {self.pane.pattern.pattern}", markup=False)

    def back(self) -> bool:
        """Drop what was typed last: what is being typed, the search, the filter; whether there was any."""
        if self._input.display:
            self._close_input()
        elif self.pane.pattern:
            self.pane.search(None)
            self.pane.follow(True)
        elif self._filter:
            self._filter = None
            self._choose()
        else:
            return False
        return True

    def tell(self) -> None:
        """Write the line above anew."""
        pane = self.pane
        at, found = pane.place_among_matches
        marks = [f"/{pane.pattern.pattern} {f'{at} of ' if at else ''}{found}"] if pane.pattern else []
        marks += [f"& {self._filter.pattern}"] if self._filter else []
        marks += [f"{LEVELS[self._level]} and worse"] if self._level else []
        marks += ["wrapped"] if pane.wrapped else []
        self._title.update(
            log_title(
                self.of or "all services",
                focused=pane.has_focus,
                following=pane.following,
                waiting=pane.waiting,
                place=f"line {pane.top:,} of {pane.lines:,}",
                marks=marks,
                width=self.size.width,
            )
        )

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        event.stop()
        self._close_input()
        pattern = pattern_of(event.value)
        if self._asked == FILTER:
            self._filter = pattern
            self._choose()
        elif pattern and not self.pane.search(pattern):
            self.notify(f"not found: {event.value}", markup=False)
        elif not pattern:
            self.pane.search(None)
        self.tell()

    @on(LogPane.Changed)
    def _changed(self) -> None:
        self.tell()

    def on_resize(self) -> None:
        self.tell()

    def on_descendant_focus(self) -> None:
        self.tell()

    def on_descendant_blur(self) -> None:
        self.tell()

    def _close_input(self) -> None:
        self._input.display = False
        self.pane.focus()

    def _choose(self) -> None:
        level = NAMES[LEVELS[self._level]] if self._level else None
        self.pane.choose(Choice(frozenset([self.of]) if self.of else None, level, self._filter))
        self.tell()


def pattern_of(text: str) -> re.Pattern[str] | None:
    """What was typed: a regular expression, else these very letters; without capitals it finds both."""
    if not text:
        return None
    flags = re.IGNORECASE if text == text.lower() else 0
    try:
        return re.compile(text, flags)
    except re.error:
        return re.compile(re.escape(text), flags)
