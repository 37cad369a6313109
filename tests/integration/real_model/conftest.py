"""One deployment of agg.toml, the real model on one thread, for all tests here."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.dynamo import TOPOLOGIES, Dynamo
from tests.supervisor.harness import gone


class Agg(NamedTuple):
    """`root` is the deployment's directory, `run` in it the directory of its sockets."""

    dynamo: Dynamo
    url: str
    model: str
    root: Path

    @property
    def worker(self) -> Path:
        return self.root / "run" / "decode-0.sock"


@pytest.fixture(scope="package")
def agg(session_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agg]:
    home = Path(tempfile.mkdtemp(prefix="agg-", dir=session_home))
    (home / "run").mkdir(mode=0o700)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DYN_", "DYNAMO_"))}
    environ |= {"DYNAMO_HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), "DYN_LLAMACPP_THREADS": "1"}
    dynamo = Dynamo(tmp_path_factory.mktemp("agg"), environ)
    started = dynamo.run("up", "-d", str(TOPOLOGIES / "agg.toml"), "--set", "frontend.port=0", timeout_s=120)
    assert started.code == 0, started
    status = dynamo.status()
    yield Agg(dynamo, status["url"], status["models"][0], home / "agg")
    assert dynamo.run("down").code == 0
    gone(home, 3.0)
