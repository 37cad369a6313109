from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.dynamo import Dynamo
from tests.supervisor.harness import gone


@pytest.fixture
def dynamo(clean_environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dynamo]:
    """The real executable in an empty directory; whatever it started is stopped and nothing is left."""
    monkeypatch.chdir(tmp_path)
    tool = Dynamo(tmp_path)
    yield tool
    tool.run("down", "--all")
    gone(Path(os.environ["DYNAMO_HOME"]), 3.0)
