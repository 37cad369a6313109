from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo_cli.logs.files import archives
from dynamo_cli.logs.rotating import Compressor, RotatingLog
from dynamo_cli.logs.tail import merged

AT = "1970-01-01T00:16:40.000Z "


def log(directory: Path, **fields: Any) -> RotatingLog:
    fields = {"max_bytes": 1 << 20, "keep": 3, "compress": lambda _: None, "clock": lambda: 1000.0, **fields}
    return RotatingLog(directory / "a.log", **fields)


def texts(directory: Path) -> list[str]:
    return [line.text for line in merged([("a", directory / "a.log")])]


@settings(max_examples=60)
@given(st.lists(st.sampled_from([b"a", b"bc\n", b"\n", b"d\ne", b"\nf\n\n"]), max_size=12))
def test_any_cut_gives_the_same_stamped_lines(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    directory = tmp_path_factory.mktemp("logs")
    written = log(directory)
    for part in parts:
        written.write(part)
    written.close()
    whole = b"".join(parts).decode()
    expected = whole.split("\n")[: -1 if whole.endswith("\n") or not whole else None]
    if parts:
        assert (directory / "a.log").read_text() == "".join(f"{AT}{line}\n" for line in expected)


def test_rotation_at_the_start_of_a_line_keeps_the_latest_archives(tmp_path: Path) -> None:
    written = log(tmp_path, max_bytes=100, keep=2)
    for number in range(50):
        written.write(f"line {number}\n".encode())
    written.close()
    assert [file.name for file in archives(tmp_path / "a.log")] == ["a.11.log", "a.12.log"]
    shown = texts(tmp_path)
    assert shown == [f"line {number}" for number in range(50 - len(shown), 50)]


def test_an_endless_line_is_rotated_too(tmp_path: Path) -> None:
    written = log(tmp_path, max_bytes=100, keep=9)
    for _ in range(60):
        written.write(b"progress\r")
    written.close()
    assert len(archives(tmp_path / "a.log")) >= 2


def test_archives_are_compressed_and_read_back(tmp_path: Path) -> None:
    compressor = Compressor()
    written = log(tmp_path, max_bytes=100, keep=99, compress=compressor.add)
    for number in range(40):
        written.write(f"line {number}\n".encode())
    written.close()
    compressor.close(10.0)
    assert {file.suffix for file in archives(tmp_path / "a.log")} == {".gz"}
    assert texts(tmp_path) == [f"line {number}" for number in range(40)]
    assert not list(tmp_path.glob("*.part"))


def test_keep_nothing(tmp_path: Path) -> None:
    written = log(tmp_path, max_bytes=100, keep=0)
    for number in range(40):
        written.write(f"line {number}\n".encode())
    written.close()
    assert archives(tmp_path / "a.log") == [] and texts(tmp_path)[-1] == "line 39"


def test_a_full_disk_loses_lines_and_says_how_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = log(tmp_path)
    written.write(b"before\n")
    real = os.write

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    written.write(b"lost 1\nlost 2\n")
    written.write(b"lost 3\n")
    monkeypatch.setattr(os, "write", real)
    written.write(b"after\n")
    written.close()
    assert texts(tmp_path) == ["before", "[3 lines were lost: No space left on device]", "after"]


def test_a_line_torn_by_a_full_disk_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = log(tmp_path)
    real, room = os.write, [30]

    def nearly_full(handle: int, data: memoryview) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = real(handle, data[: room[0]])
        room[0] = 0
        return count

    monkeypatch.setattr(os, "write", nearly_full)
    written.write(b"hello world\n")
    monkeypatch.setattr(os, "write", real)
    written.write(b"after\n")
    written.close()
    assert texts(tmp_path) == ["hello", "[1 line was lost: No space left on device]", "after"]


def test_a_directory_that_is_not_there_is_survived(tmp_path: Path) -> None:
    written = log(tmp_path / "none")
    written.write(b"lost\n")
    (tmp_path / "none").mkdir()
    written.write(b"kept\n")
    written.close()
    assert texts(tmp_path / "none") == ["[1 line was lost: No such file or directory]", "kept"]
