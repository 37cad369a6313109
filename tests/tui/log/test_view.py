"""Which lines are kept, which are seen, and in which rows they stand."""

from __future__ import annotations

import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from dynamo_cli.logs.tail import Line
from dynamo_cli.tui.log.book import Book
from dynamo_cli.tui.log.entry import Entry, readable
from dynamo_cli.tui.log.rows import Rows
from dynamo_cli.tui.log.section import pattern_of
from dynamo_cli.tui.log.view import Choice, LogView

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z", "M")), max_size=40)


def entry(number: int, text: str = "x", service: str = "a", level: int | None = logging.INFO) -> Entry:
    return Entry(number, service, text, level)


@given(st.lists(st.integers(1, 5)), st.integers(0, 10))
def test_rows_know_whose_they_are(heights: list[int], gone: int) -> None:
    rows = Rows()
    for height in heights:
        rows.append(height)
    dropped = sum(rows.pop() for _ in range(min(gone, len(heights))))
    left = heights[gone:]
    assert (dropped, rows.total) == (sum(heights[:gone]), sum(left))
    owners = [(index, part) for index, height in enumerate(left) for part in range(height)]
    assert [rows.at(row) for row in range(rows.total)] == owners
    assert [rows.first(index) for index in range(len(left))] == [owners.index((i, 0)) for i in range(len(left))]


@given(st.lists(TEXT, max_size=12), st.integers(2, 30))
def test_folded_rows_hold_the_whole_line_and_no_more_than_fits(texts: list[str], width: int) -> None:
    view = LogView(width)
    view.extend(entry(i, text) for i, text in enumerate(texts))
    rows = [view.row(number) for number in range(view.rows.total)]
    assert all(cell_len(piece) <= width for _, _, piece in rows)
    for i, text in enumerate(texts):
        assert "".join(piece for one, _, piece in rows if one.number == i) == text


def test_a_view_lets_the_first_lines_go() -> None:
    view = LogView(most=3)
    assert view.extend(entry(i, str(i)) for i in range(5)) == 2
    assert [view.row(i)[2] for i in range(3)] == ["2", "3", "4"]
    assert view.full


def test_a_service_that_floods_pushes_out_no_line_of_another() -> None:
    book = Book(lines=10)
    book.extend([entry(0, "once", "quiet"), *(entry(i, service="loud") for i in range(1, 100))])
    assert [one.number for one in book.of()] == [0, *range(90, 100)]
    assert [one.text for one in book.of(["quiet"])] == ["once"]
    assert book.of(["nobody"]) == []


def test_long_lines_are_kept_in_smaller_number() -> None:
    book = Book(characters=1000)
    book.extend(entry(i, "x" * 100) for i in range(50))
    assert [one.number for one in book.of()] == list(range(40, 50))


@pytest.mark.parametrize(
    ("choice", "seen"),
    [
        (Choice(), [0, 1, 2, 3]),
        (Choice(services=frozenset("b")), [2, 3]),
        (Choice(level=logging.WARNING), [1, 3]),
        (Choice(pattern=re.compile("on")), [0]),
        (Choice(frozenset("a"), logging.WARNING, re.compile("b")), [1]),
    ],
)
def test_what_is_chosen(choice: Choice, seen: list[int]) -> None:
    entries = [entry(0, "one"), entry(1, "bad", level=logging.ERROR), entry(2, "x", "b"), entry(3, "…", "b", None)]
    assert [one.number for one in entries if choice.wants(one)] == seen


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07", "red link"),
        (" 10 %\r 50 %\r100 %", "100 %"),
        ("done\r", "done"),
        ("a\tb", "a   b"),
        ("bell\x07 and \x9b2J", "bell\ufffd and \ufffd2J"),
        ("日本 é", "日本 é"),
    ],
)
def test_a_line_cannot_move_the_cursor(text: str, shown: str) -> None:
    assert readable(Line("a", text)) == shown


def test_what_is_typed_becomes_a_pattern() -> None:
    assert pattern_of("") is None
    for typed, text in (("oom", "OOM"), ("[", "a[0]"), ("a.c", "abc")):
        pattern = pattern_of(typed)
        assert pattern and pattern.search(text)
    capitals = pattern_of("OOM")
    assert capitals and not capitals.search("oom")
