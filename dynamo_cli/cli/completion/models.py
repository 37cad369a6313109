"""Names of models, each with where it comes from."""

from __future__ import annotations

from collections.abc import Iterator

from dynamo_cli.hub.catalogue import CATALOGUE
from dynamo_cli.hub.resolve import cached_names


def models() -> Iterator[tuple[str, str]]:
    """Those of the catalogue and of the Hugging Face cache."""
    for model in CATALOGUE.values():
        yield model.name, f"{model.size / 1e6:.0f} MB, {model.license}"
    yield from ((name, "in the Hugging Face cache") for name in cached_names() if name not in CATALOGUE)
