from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dynamo_cli.logs.tail import MAX_LINE, Line, LogFollower, Tail, last_lines, merged


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def append(path: Path, data: str | bytes) -> None:
    with path.open("ab") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def texts(tail: Tail) -> list[str]:
    return [line.text for line in tail.read()]


def stamped(second: int, text: str) -> str:
    return f"2026-01-02T10:00:{second:02d}.000Z {text}\n"


def test_tail_gives_complete_lines_as_they_come(tmp_path: Path, closing: ExitStack) -> None:
    path = tmp_path / "a.log"
    tail = Tail("a", path)
    closing.callback(tail.close)
    assert tail.read() == []
    append(path, "one\ntw")
    assert texts(tail) == ["one"]
    append(path, "o\n\xff\n".encode("latin-1"))
    assert texts(tail) == ["two", "\ufffd"]


def test_an_endless_line_is_cut_and_its_rest_dropped(tmp_path: Path, closing: ExitStack) -> None:
    path = tmp_path / "a.log"
    tail = Tail("a", path)
    closing.callback(tail.close)
    shown = []
    for _ in range(5):
        append(path, "x" * 50_000)
        shown += texts(tail)
    append(path, "\nnext\n")
    shown += texts(tail)
    assert [len(line) for line in shown[:-1]] == [MAX_LINE]
    assert shown[-1] == "next"


@pytest.mark.parametrize(
    ("keep", "lines_left_out", "shown"),
    [
        (100, 0, ["one", "two", "three"]),
        (len("two\nthree\n"), 1, ["two", "three"]),
        (len("wo\nthree\n"), 2, ["three"]),
        (1, 3, []),
        (0, 3, []),
    ],
)
def test_what_is_unread_can_be_passed_over(
    keep: int, lines_left_out: int, shown: list[str], tmp_path: Path, closing: ExitStack
) -> None:
    path = tmp_path / "a.log"
    tail = Tail("a", path)
    closing.callback(tail.close)
    assert tail.skip(keep) == 0
    append(path, "one\ntwo\nthree\n")
    assert tail.skip(keep) == lines_left_out
    assert texts(tail) == shown
    append(path, "four\n")
    assert texts(tail) == ["four"]


def test_passing_over_half_a_line_leaves_out_all_of_it(tmp_path: Path, closing: ExitStack) -> None:
    path = tmp_path / "a.log"
    tail = Tail("a", path)
    closing.callback(tail.close)
    append(path, "begun ")
    assert tail.read() == []
    append(path, "and gone on, with ")
    assert tail.skip(0) == 1
    append(path, "an end\nnext\n")
    assert texts(tail) == ["next"]


def test_a_truncated_file_is_read_from_its_start(tmp_path: Path, closing: ExitStack) -> None:
    path = tmp_path / "a.log"
    append(path, "old old old\n")
    tail = Tail("a", path)
    closing.callback(tail.close)
    tail.read()
    path.write_text("new\n")
    assert texts(tail) == ["new"]


def test_last_lines_of_this_incarnation_only(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    append(path, "before\n")
    since = path.stat().st_size
    assert last_lines(path, 3, since) == []
    append(path, "1\n2\n\n3\n4\n")
    assert last_lines(path, 3, since) == ["2", "3", "4"]
    assert last_lines(path, 9, since) == ["1", "2", "3", "4"]
    assert last_lines(tmp_path / "none", 3) == []


def test_last_lines_of_a_large_file_start_with_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    append(path, "".join(f"line {i}\n" for i in range(50_000)))
    assert last_lines(path, 2) == ["line 49998", "line 49999"]
    assert len(last_lines(path, 100_000)) == 50_000


def test_merged_by_time_with_unstamped_lines_kept_in_place(tmp_path: Path) -> None:
    a, b = tmp_path / "a.log", tmp_path / "b.log"
    append(a, stamped(1, "a1") + "  continued\n" + stamped(5, "a2"))
    append(b, stamped(3, "b1"))
    lines = list(merged([("a", a), ("b", b), ("c", tmp_path / "c.log")]))
    assert [line.text for line in lines] == ["a1", "  continued", "b1", "a2"]
    assert lines[2] == Line("b", "b1", "2026-01-02T10:00:03.000Z")


def test_merged_begins_with_the_archives(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    for number in (9, 10):
        with gzip.open(tmp_path / f"a.{number}.log.gz", "wb") as packed:
            packed.write(stamped(number, f"part {number}").encode())
    append(tmp_path / "a.11.log", stamped(11, "part 11"))
    append(tmp_path / "ab.1.log", "another service\n")
    append(file, stamped(12, "now"))
    assert [line.text for line in merged([("a", file)])] == ["part 9", "part 10", "part 11", "now"]
    assert [line.text for line in merged([("a", file)], 2)] == ["part 11", "now"]
    assert [line.text for line in merged([("a", file)], 1)] == ["now"]


def test_a_rotation_between_two_looks_loses_nothing(tmp_path: Path, closing: ExitStack) -> None:
    file = tmp_path / "a.log"
    append(file, "one\n")
    tail = Tail("a", file)
    closing.callback(tail.close)
    assert texts(tail) == ["one"] and texts(tail) == []
    append(file, "two\n")
    file.rename(tmp_path / "a.1.log")
    append(file, "three\n")
    assert texts(tail) + texts(tail) == ["two", "three"]


def test_many_last_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    append(file, "".join(stamped(1, f"line {i}") for i in range(9000)))
    assert last_lines(file, 8000) == [f"line {i}" for i in range(1000, 9000)]


def test_merged_takes_the_last_of_each(tmp_path: Path) -> None:
    a, b = tmp_path / "a.log", tmp_path / "b.log"
    append(a, "1\n2\n3\n")
    append(b, "4\n")
    assert list(merged([("a", a), ("b", b)], 2)) == [Line("a", "2"), Line("a", "3"), Line("b", "4")]


def test_follower_starts_at_the_end(tmp_path: Path, closing: ExitStack) -> None:
    a = tmp_path / "a.log"
    append(a, "old\n")
    follower = LogFollower([("a", a), ("b", tmp_path / "b.log")])
    closing.callback(follower.close)
    append(a, "new\n")
    append(tmp_path / "b.log", "first\n")
    assert list(follower.read()) == [Line("a", "new"), Line("b", "first")]


@pytest.mark.parametrize("lines", [[b"x" * 80] * 20_000, [b"y" * 200_000, b"last"]], ids=["many", "long"])
def test_the_rest_is_all_that_was_written(lines: list[bytes], tmp_path: Path, closing: ExitStack) -> None:
    path = tmp_path / "a.log"
    follower = LogFollower([("a", path)])
    closing.callback(follower.close)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    shown = [*follower.read(), *follower.rest()]
    assert (len(shown), shown[-1].text) == (len(lines), lines[-1].decode())


def test_a_follower_learns_of_new_services(tmp_path: Path, closing: ExitStack) -> None:
    follower = LogFollower([])
    closing.callback(follower.close)
    append(tmp_path / "a.log", "first\n")
    for _ in range(2):
        follower.follow([("a", tmp_path / "a.log")])
    append(tmp_path / "a.log", "second\n")
    assert list(follower.read()) == [Line("a", "first"), Line("a", "second")]
