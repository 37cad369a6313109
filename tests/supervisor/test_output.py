"""What a process has written, and what is said in its place."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.output import LEAST_ROOM, Output


@pytest.mark.parametrize(("free", "lost"), [(0, True), (LEAST_ROOM - 1, True), (LEAST_ROOM, False)])
def test_a_full_disk_is_named_where_there_are_no_lines(free: int, lost: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = DeploymentPaths("test")
    output = Output(paths)
    assert output.lost() == []  # there is no such directory yet
    paths.ensure()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    words = f"what it wrote is lost: no space is left on the disk of {paths.logs}"
    assert output.lost() == ([words] if lost else [])
