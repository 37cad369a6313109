"""The log as a widget: only the rows that are visible are ever drawn."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.cache import LRUCache
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from dynamo_cli.logs.stamp import LENGTH
from dynamo_cli.tui.log.book import Book
from dynamo_cli.tui.log.entry import Entry
from dynamo_cli.tui.log.view import Choice, LogView
from dynamo_cli.tui.look import SERVICE_COLOURS, level_tone

BAR = " │ "
MORE = "›"
"""At the end of a row that is longer than the screen is wide."""
CLOCK = slice(len("2026-01-02T"), LENGTH - len("Z "))
"""Of a stamp: the time of day, UTC."""
LEAST_TEXT = 20
"""Cells of a row that are left to the text, whatever stands in front of it."""
DRAWN = 1000


class LogPane(ScrollView, can_focus=True):
    """`book` holds the lines; `choice` says which are seen; `following` that the last one always is.

    Who scrolls up stops following: what is seen then stays, and what comes waits.
    """

    ALLOW_SELECT = True
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"log--{tone}" for tone in ("debug", "info", "warning", "error", "note", "prefix", "match", "current")),
    }

    class Changed(Message):
        """What the line above the log tells is another thing now."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.book = Book()
        self.choice = Choice()
        self.following = True
        self.wrapped = False
        self.timed = False
        self.waiting = 0
        self.pattern: re.Pattern[str] | None = None
        self._view = LogView()
        self._names: dict[str, int] = {}
        self._current: Entry | None = None
        self._moving = False
        self._extent = (Size(0, 0), Size(0, 0))
        """Of screen and lines when we last looked: a place that changes with them is not the user's doing."""
        self._drawn: LRUCache[tuple[int, int], Strip] = LRUCache(DRAWN)

    @property
    def lines(self) -> int:
        """How many can be scrolled through."""
        return len(self._view.entries)

    @property
    def top(self) -> int:
        """The first visible line, from 1."""
        return min(self.lines, self._view.rows.at(self.scroll_offset.y)[0] + 1)

    def name_services(self, names: Iterable[str]) -> None:
        """Those whose names stand in front of merged lines, in the order of their colours."""
        known = dict(self._names)
        for name in names:
            self._names.setdefault(name, len(self._names))
        if known != self._names:
            self.refill()

    def add(self, entries: list[Entry]) -> None:
        """Lines that have come."""
        self.book.extend(entries)
        wanted = [entry for entry in entries if self.choice.wants(entry)]
        if not wanted:
            return
        if not self.following:
            room = wanted[: 0 if self._view.full else len(wanted)]
            self.waiting += len(wanted) - len(room)
            self._view.extend(room)
            self._resized()
            return
        self._view.extend(wanted)
        self._resized()
        self._to_end()

    def choose(self, choice: Choice) -> None:
        self.choice = choice
        self.refill()

    def refill(self) -> None:
        """Show what is wanted of all that is kept."""
        self._drawn.clear()
        services = None if self.choice.services is None else sorted(self.choice.services)
        entries = [entry for entry in self.book.of(services) if self.choice.wants(entry)]
        first = self._view.entries[self.top - 1].number if self.lines and not self.following else None
        self._view.fill(entries, self._room if self.wrapped else 0)
        self.waiting = 0
        self._resized()
        if first is None:
            self._to_end()
        else:
            self._to_row(self._view.rows.first(self._index_from(first)))

    def follow(self, following: bool) -> None:
        self.following = following
        self._current = None
        if following:
            self.refill()
        self.post_message(self.Changed())

    def wrap(self, wrapped: bool) -> None:
        self.wrapped = wrapped
        self.refill()

    def show_times(self, timed: bool) -> None:
        """When each line arrived, in front of it."""
        self.timed = timed
        self.refill()

    def search(self, pattern: re.Pattern[str] | None) -> bool:
        """Mark what is found, and go to the last line with it; whether there is one."""
        self.pattern, self._current = pattern, None
        self._drawn.clear()
        self.refresh()
        return pattern is not None and self.next_match(-1)

    def next_match(self, step: int) -> bool:
        """Go to the next line with the pattern, or with -1 to the one before, around the ends; whether there is one."""
        found = self._view.matches(self.pattern) if self.pattern else []
        if not found:
            self.post_message(self.Changed())
            return False
        here = self._index_from(self._current.number) if self._current else self.lines
        after = [index for index in found if (index > here if step > 0 else index < here)]
        index = (after or found)[0 if step > 0 else -1]
        self._current = self._view.entries[index]
        self.following = False
        self._drawn.clear()
        self._to_row(max(0, self._view.rows.first(index) - self.size.height // 2))
        self.refresh()
        self.post_message(self.Changed())
        return True

    @property
    def place_among_matches(self) -> tuple[int, int]:
        """Which match is gone to, from 1 (0 for none), of how many."""
        found = self._view.matches(self.pattern) if self.pattern else []
        here = self._index_from(self._current.number) if self._current else -1
        return (found.index(here) + 1 if here in found else 0), len(found)

    @property
    def visible_text(self) -> str:
        """The lines on the screen, whole ones."""
        first = self.scroll_offset.y
        rows = range(first, min(first + self.size.height, self._view.rows.total))
        entries = [entry for entry, _ in groupby(self._view.row(row)[0] for row in rows)]
        return "".join(f"{self._prefix(entry)}{entry.text}\n" for entry in entries)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The text of the selected rows; those of one line are put together again."""
        text = "".join(self._selected(selection))
        return text.removeprefix("\n"), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        if selection is not None and self.following:
            self.following = False
            self.post_message(self.Changed())
        self._drawn.clear()
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._drawn.clear()

    def on_resize(self) -> None:
        if self.wrapped and self._view.width != self._room:
            self.refill()
        elif self.following:
            self.call_after_refresh(self._to_end)
        self._extent = (self.size, self.virtual_size)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if not self._moving and self._extent == (self.size, self.virtual_size):
            self.call_later(self._scrolled, down=new_value > old_value)

    def _scrolled(self, down: bool) -> None:
        """By the user, to another place."""
        at_end = self.scroll_y >= self.max_scroll_y
        if at_end and down and not self.following:
            self.follow(True)
        elif not at_end and self.following:
            self.follow(False)
        self.post_message(self.Changed())

    def render_line(self, y: int) -> Strip:
        scroll_x, scroll_y = self.scroll_offset
        row = scroll_y + y
        if row >= self._view.rows.total:
            return Strip.blank(self.size.width, self.rich_style)
        strip, width = self._strip(row), self.scrollable_content_region.width
        if strip.cell_length > scroll_x + width:
            more = Strip([Segment(MORE, self.rich_style + self._style("log--note"))], 1)
            strip = Strip.join([strip.crop(scroll_x, scroll_x + width - 1), more])
        else:
            strip = strip.crop_extend(scroll_x, scroll_x + width, self.rich_style)
        return strip.apply_offsets(scroll_x, row)

    def _strip(self, row: int) -> Strip:
        entry, part, piece = self._view.row(row)
        if self.text_selection is None and (drawn := self._drawn.get((entry.number, part))):
            return drawn
        text = self._drawing(entry, part, piece)
        if self.text_selection is not None and (span := self.text_selection.get_span(row)) is not None:
            start, end = span
            text.stylize(self._style("screen--selection", of_screen=True), start, len(text) if end == -1 else end)
        strip = Strip(text.render(self.app.console), text.cell_len)
        if self.text_selection is None:
            self._drawn[(entry.number, part)] = strip
        return strip

    def _drawing(self, entry: Entry, part: int, piece: str) -> Text:
        prefix = self._prefix(entry)
        if part:
            prefix = " " * (len(prefix) - len(BAR)) + BAR if prefix else ""
        text = Text(style=self.rich_style, no_wrap=True, end="")
        text.append(prefix, self._prefix_style(entry))
        text.append(piece, self._style(f"log--{level_tone(entry.level)}"))
        if self.pattern and entry.level is not None:
            style = self._style("log--current" if entry == self._current else "log--match")
            for found in self.pattern.finditer(piece):
                text.stylize(style, len(prefix) + found.start(), len(prefix) + found.end())
        return text

    def _style(self, name: str, of_screen: bool = False) -> Style:
        return (self.screen if of_screen else self).get_component_rich_style(name, partial=True)

    def _prefix_style(self, entry: Entry) -> Style:
        if self.app.no_color:
            return self._style("log--prefix")
        colours = SERVICE_COLOURS[self.app.current_theme.dark]
        return Style(color=colours[self._names.get(entry.service, 0) % len(colours)])

    def _prefix(self, entry: Entry) -> str:
        time = f"{entry.time[CLOCK]:<12} " if self.timed else ""
        if self._one_service:
            return time and time[:-1] + BAR
        return f"{time}{entry.service.ljust(self._name_width)}{BAR}"

    @property
    def _one_service(self) -> bool:
        return self.choice.services is not None and len(self.choice.services) == 1

    @property
    def _name_width(self) -> int:
        return max(map(len, self._names), default=0)

    @property
    def _room(self) -> int:
        """Cells of a row for the text."""
        blank = Entry(0, "", "", None)
        return max(LEAST_TEXT, self.scrollable_content_region.width - len(self._prefix(blank)))

    def _index_from(self, number: int) -> int:
        """The line of this number, or the first one after it that is there."""
        for index, entry in enumerate(self._view.entries):
            if entry.number >= number:
                return index
        return max(0, self.lines - 1)

    def _selected(self, selection: Selection) -> Iterator[str]:
        last = self._view.rows.total - 1
        start = min(last, selection.start.y if selection.start else 0)
        end = min(last, selection.end.y if selection.end else last)
        for row in range(start, end + 1):
            span = selection.get_span(row)
            if span is None:
                continue
            entry, part, piece = self._view.row(row)
            whole = self._drawing(entry, part, piece).plain
            goes_on = bool(part) and row > start
            begin = max(span[0], len(whole) - len(piece)) if goes_on else span[0]
            shown = whole[begin : None if span[1] == -1 else span[1]]
            yield shown if goes_on else f"\n{shown}"

    def _resized(self) -> None:
        prefix = len(self._prefix(Entry(0, "", "", None)))
        width = self.scrollable_content_region.width if self.wrapped else prefix + self._view.widest
        self._moving = True
        self.virtual_size = Size(width, self._view.rows.total)
        self._moving = False
        self._extent = (self.size, self.virtual_size)
        self.refresh()
        self.post_message(self.Changed())

    def _to_end(self) -> None:
        self._to_row(self.max_scroll_y)

    def _to_row(self, row: int) -> None:
        self._moving = True
        self.scroll_to(y=row, animate=False, immediate=True, force=True)
        self._moving = False
        self.call_after_refresh(self._align_scrollbar)

    def _align_scrollbar(self) -> None:
        """One that has just come does not know where we are."""
        self.vertical_scrollbar.position = self.scroll_y
