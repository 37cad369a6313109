from __future__ import annotations

from pathlib import Path

from dynamo_cli.supervisor.logtail import MAX_LINE, Line, LogFollower, Tail, last_lines, merged


def append(path: Path, data: str | bytes) -> None:
    with path.open("ab") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def test_tail_gives_complete_lines_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    tail = Tail(path)
    assert tail.read() == []
    append(path, "one\ntw")
    assert tail.read() == ["one"]
    append(path, "o\n\xff\n".encode("latin-1"))
    assert tail.read() == ["two", "\ufffd"]


def test_an_endless_line_is_cut_and_its_rest_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    tail = Tail(path)
    shown = []
    for _ in range(5):
        append(path, "x" * 50_000)
        shown += tail.read()
    append(path, "\nnext\n")
    shown += tail.read()
    assert [len(line) for line in shown[:-1]] == [MAX_LINE]
    assert shown[-1] == "next"


def test_a_truncated_file_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    append(path, "old old old\n")
    tail = Tail(path)
    tail.read()
    path.write_text("new\n")
    assert tail.read() == ["new"]


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
    assert all(line.startswith("line ") for line in last_lines(path, 100_000))


def test_merged_by_time_with_untimed_lines_kept_in_place(tmp_path: Path) -> None:
    a, b = tmp_path / "a.log", tmp_path / "b.log"
    append(a, "10:00:01 INFO x: a1\n  continued\n10:00:05 INFO x: a2\n")
    append(b, "10:00:03 INFO x: b1\n")
    texts = [line.text for line in merged([("a", a), ("b", b), ("c", tmp_path / "c.log")])]
    assert texts == ["10:00:01 INFO x: a1", "  continued", "10:00:03 INFO x: b1", "10:00:05 INFO x: a2"]


def test_merged_takes_the_last_of_each(tmp_path: Path) -> None:
    a, b = tmp_path / "a.log", tmp_path / "b.log"
    append(a, "1\n2\n3\n")
    append(b, "4\n")
    assert list(merged([("a", a), ("b", b)], 2)) == [Line("a", "2"), Line("a", "3"), Line("b", "4")]


def test_follower_starts_at_the_end(tmp_path: Path) -> None:
    a = tmp_path / "a.log"
    append(a, "old\n")
    follower = LogFollower([("a", a), ("b", tmp_path / "b.log")])
    append(a, "new\n")
    append(tmp_path / "b.log", "first\n")
    assert list(follower.read()) == [Line("a", "new"), Line("b", "first")]
