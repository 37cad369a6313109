from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dynamo_cli.topology import schema
from dynamo_cli.topology.layers import tomllib
from dynamo_cli.topology.schema import json_schema

TOPOLOGIES = sorted((Path(__file__).parents[2] / "topologies").glob("*.toml"))
PUBLISHED = Path(schema.__file__).with_name("topology.schema.json")
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def test_the_published_schema_is_fresh_and_sound() -> None:
    assert json.loads(PUBLISHED.read_text()) == json_schema(), "run `make schema`"
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("file", TOPOLOGIES, ids=lambda file: file.stem)
def test_every_shipped_topology_names_it_and_passes(file: Path) -> None:
    text = file.read_text()
    line = text.splitlines()[0]
    assert line.startswith("#:schema ") and (file.parent / line.split()[1]).resolve() == PUBLISHED
    VALIDATOR.validate(tomllib.loads(text))


@pytest.mark.parametrize(
    "document",
    [
        {"frontend": {"port": 70000}},
        {"frontend": {"prot": 1}},
        {"workers": {"a": {"restart": "sometimes"}}},
        {"workers": {"a": {"gpus": "all"}}},
        {"services": {"a": {"probe": {"http": "/", "tcp": 1}}}},
        {"services": {"a": {"depends_on": {"b": "done"}}}},
        {"extends": 1},
    ],
)
def test_wrong_documents_fail(document: dict[str, Any]) -> None:
    assert list(VALIDATOR.iter_errors(document))


def test_every_key_is_described() -> None:
    def undescribed(node: Any, path: str) -> list[str]:
        missing = []
        for key, inner in node.get("properties", {}).items():
            if "description" not in inner:
                missing.append(f"{path}.{key}")
            missing += undescribed(inner, f"{path}.{key}")
        for inner in [*node.get("anyOf", []), node.get("additionalProperties")]:
            if isinstance(inner, dict):
                missing += undescribed(inner, path)
        return missing

    assert undescribed(json_schema(), "") == []
