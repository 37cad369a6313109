from __future__ import annotations

from pathlib import Path

import pytest

from tests.gpus.fake import build_driver


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the fake libnvidia-ml.so.1 lies."""
    return build_driver(tmp_path_factory.mktemp("driver"))
