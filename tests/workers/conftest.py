"""Shared by the tests of engines and of the worker host."""

from __future__ import annotations

import pytest

from dynamo_cli.errors import ModelMissing
from dynamo_cli.hub.catalogue import DEFAULT_MODEL
from dynamo_cli.workers.model import PreparedModel, prepare_model


@pytest.fixture(scope="session")
def default_model() -> PreparedModel:
    """The default model, fetched when this machine does not have it yet."""
    try:
        return prepare_model(DEFAULT_MODEL)
    except ModelMissing:
        from dynamo_cli.hub.fetch import fetch_model

        fetch_model(DEFAULT_MODEL, lambda what, done, total: None)
        return prepare_model(DEFAULT_MODEL)
