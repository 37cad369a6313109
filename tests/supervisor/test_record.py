"""The state on disk is the old one or the new one, and nothing beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_cli.errors import ResourceMissing
from dynamo_cli.supervisor.record import write


def test_what_is_written_replaces_what_was(tmp_path: Path) -> None:
    write(tmp_path / "a.json", [1])
    write(tmp_path / "a.json", [2])
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.json", "[2]")]


def test_a_disk_that_refuses_is_one_line_and_no_litter(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(ResourceMissing, match=r"cannot write .*/a\.json: Is a directory"):
        write(tmp_path / "a.json", [1])
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
