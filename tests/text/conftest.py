from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_cli.hub.catalogue import DEFAULT_MODEL
from dynamo_cli.hub.fetch import fetch_model
from dynamo_cli.hub.resolve import ModelFiles
from dynamo_cli.text.bundle import TextBundle, load_bundle
from dynamo_cli.text.prepare import prepare_bundle


@pytest.fixture(scope="session")
def model() -> ModelFiles:
    """The default model, fetched into the user's cache when it is not there yet."""
    return fetch_model(DEFAULT_MODEL)


@pytest.fixture(scope="session")
def bundle(model: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> TextBundle:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        path = prepare_bundle(model)
    assert path is not None
    return load_bundle(path)


@pytest.fixture(scope="session")
def model_path(model: ModelFiles) -> Path:
    return model.path
