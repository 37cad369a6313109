"""The directories of crashes: whole, few, small, and never in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_cli.errors import ResourceMissing
from dynamo_cli.supervisor.crashes.keep import MOST_BYTES, directory_name, drop_drafts, keep, latest


def names(crashes: Path) -> list[str]:
    return sorted(each.name for each in crashes.iterdir())


def test_only_the_last_few_stay(tmp_path: Path) -> None:
    for when in range(5):
        keep(tmp_path / "c", directory_name("decode-0", when), {"a": str(when)}, most=3)
    assert names(tmp_path / "c") == [directory_name("decode-0", when) for when in (2, 3, 4)]
    found = latest(tmp_path / "c", "decode-0")
    assert found and (found / "a").read_text() == "4"


def test_a_service_that_fails_again_and_again_leaves_the_last_of_others(tmp_path: Path) -> None:
    keep(tmp_path, directory_name("frontend-0", 0.5), {"a": ""}, most=3)
    for when in range(1, 6):
        keep(tmp_path, directory_name("decode-0", when), {"a": ""}, most=3)
    assert latest(tmp_path, "frontend-0")
    assert len(names(tmp_path)) == 3


def test_private_and_bounded(tmp_path: Path) -> None:
    directory = keep(tmp_path / "c", "decode-0-1", {"output.log": "begin" + "x" * 3 * MOST_BYTES + "end"})
    file = directory / "output.log"
    text = file.read_text()
    assert len(text) < MOST_BYTES + 100
    assert text.startswith("begin") and text.endswith("end") and "bytes left out" in text
    assert (directory.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_disk_that_refuses_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dynamo_cli.supervisor.crashes.keep._write", refuse)
    with pytest.raises(ResourceMissing, match=r"no evidence kept in .*decode-0-1: No space left on device"):
        keep(tmp_path, "decode-0-1", {"a": ""})
    assert not names(tmp_path)


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".decode-0-1").mkdir()
    keep(tmp_path, "decode-0-2", {"a": ""})
    drop_drafts(tmp_path)
    assert names(tmp_path) == ["decode-0-2"]
    drop_drafts(tmp_path / "nowhere")


def test_no_crash_yet(tmp_path: Path) -> None:
    assert latest(tmp_path / "nowhere", "decode-0") is None
