"""The state on disk is the old one or the new one, and nothing beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_cli.errors import ResourceMissing
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.launch.claim import claim
from dynamo_cli.supervisor.record import is_locked, write
from tests.supervisor.plans import plan, worker


def test_what_is_written_replaces_what_was(tmp_path: Path) -> None:
    write(tmp_path / "a.json", [1])
    write(tmp_path / "a.json", [2])
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.json", "[2]")]


def test_a_disk_that_refuses_is_one_line_and_no_litter(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(ResourceMissing, match=r"cannot write .*/a\.json: Is a directory"):
        write(tmp_path / "a.json", [1])
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_what_is_in_the_place_of_our_files_is_one_line(clean_environment: Path) -> None:
    paths = DeploymentPaths("test")
    paths.ensure()
    (paths.root / "lock").mkdir()
    with pytest.raises(ResourceMissing, match=r"^cannot write .*/test/lock: Is a directory$"):
        claim(plan(worker()), True)
    assert not is_locked(paths)
    (paths.root / "lock").rmdir()
    (paths.logs / "previous").touch()
    with pytest.raises(ResourceMissing, match=r"^cannot write .*/logs/previous: File exists$"):
        claim(plan(worker()), True)
    assert not is_locked(paths)
    assert not paths.runtime_dir.exists() and not (paths.root / "run").is_symlink()
