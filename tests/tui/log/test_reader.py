"""Log files read while others write to them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynamo_cli.logs.stamp import stamp
from dynamo_cli.tui.log import reader
from dynamo_cli.tui.log.entry import Entry
from dynamo_cli.tui.log.reader import FLOOD, HISTORY, LogReader


def write(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def looked(of: LogReader) -> list[Entry]:
    of.look()
    return of.take()


@pytest.fixture
def of() -> Iterator[LogReader]:
    """One whose looks the test does itself."""
    reading = LogReader()
    yield reading
    reading.close()
    reading.run()


def test_lines_of_a_look_are_in_order_of_time(of: LogReader, tmp_path: Path) -> None:
    a, b = tmp_path / "a.log", tmp_path / "b.log"
    write(a, f"{stamp(1.0)} first", f"{stamp(3.0)} ERROR third", "goes on")
    write(b, f"{stamp(2.0)} WARNING second", f"{stamp(4.0)} fourth")
    of.follow([("a", a), ("b", b)])
    entries = looked(of)
    assert [one.text for one in entries] == ["first", "WARNING second", "ERROR third", "goes on", "fourth"]
    assert [one.number for one in entries] == [0, 1, 2, 3, 4]
    assert [one.level for one in entries[2:]] == [logging.ERROR, logging.ERROR, logging.WARNING]
    assert entries[3].time == stamp(3.0)
    write(a, "INFO later")
    assert [(one.number, one.text) for one in looked(of)] == [(5, "INFO later")]
    assert looked(of) == []


def test_of_a_long_file_only_the_end_is_read_and_that_is_told(of: LogReader, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    count = 2 * HISTORY // 64
    write(path, *(f"{stamp(i)} {i:038}" for i in range(count)))
    of.follow([("a", path)])
    note, *entries = looked(of)
    assert (note.level, entries[-1].text) == (None, f"{count - 1:038}")
    assert note.text == f"… {count - len(entries):,} earlier lines skipped, they are in {path}"


def test_a_flood_is_skipped_and_that_is_told(of: LogReader, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    of.follow([("a", path)])
    assert looked(of) == []
    write(path, "before")
    assert [one.text for one in looked(of)] == ["before"]
    count = 3 * FLOOD // 64
    write(path, *(f"{i:063}" for i in range(count)))
    note, *entries = looked(of)
    assert note.text == f"… {count - len(entries):,} lines skipped, they are in {path}"
    assert [int(one.text) for one in entries] == list(range(count - len(entries), count))


def test_a_file_that_is_rotated_loses_nothing(of: LogReader, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    of.follow([("a", path)])
    write(path, "one")
    assert [one.text for one in looked(of)] == ["one"]
    write(path, "two")
    path.rename(tmp_path / "a.1.log")
    write(path, "three")
    assert [one.text for one in looked(of) + looked(of)] == ["two", "three"]


def test_what_nobody_takes_is_bounded(of: LogReader, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    of.follow([("a", path)])
    for _ in range(3):
        write(path, *map(str, range(reader.WAITING // 2)))
        of.look()
    assert len(of.take()) == reader.WAITING
