"""docs/topology.md tells of every key, and nothing that is not so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from dynamo_cli.disagg.conditional import ConditionalDisagg
from dynamo_cli.routing.kv_options import KvRoutingOptions
from dynamo_cli.routing.migration import DEFAULT_LIMIT
from dynamo_cli.topology.examples import DEFAULTS, EXAMPLES
from dynamo_cli.topology.layers import tomllib
from dynamo_cli.topology.page import keys, page, table
from dynamo_cli.topology.process import READY_TIMEOUT_S
from dynamo_cli.topology.schema import MANAGED, json_schema
from dynamo_cli.workers.engines.registry import SPECS

PAGE = Path(__file__).parents[2] / "docs" / "topology.md"
VALIDATOR = jsonschema.Draft202012Validator(json_schema())
KEYS = {key.path: key for key in keys()}
TABLES = {path for path in KEYS if any(other.startswith(f"{path}.") for other in KEYS)}
OF_OPTIONS = {
    "overlap_score_credit": "overlap_credit",
    "kv_events": "use_events",
    "prune_target_ratio": "prune_ratio",
    "session_affinity_mode": "session_mode",
}


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text() == page(PAGE.read_text()), "run `make topology`"


def test_every_key_is_on_it_once() -> None:
    before_options = PAGE.read_text().partition("\n## Options of engines")[0]
    shown = re.findall(r"^\| `([\w.]+)` \|", before_options, re.M)
    own = [path for path in KEYS if path.split(".")[2:3] == [] or path.split(".")[2] not in MANAGED]
    shared = [path.removeprefix("workers.NAME.") for path in KEYS if path.startswith("workers.") and path not in own]
    assert sorted(shown) == sorted([*own, *shared])
    for spec in SPECS.values():
        for field in msgspec.structs.fields(spec.options_type):
            assert f"| `{field.name}` |" in table("options")


def test_every_key_has_an_example() -> None:
    without = KEYS.keys() - EXAMPLES.keys() - TABLES
    assert without == {path for path in without if path.startswith("services.NAME.")}
    assert all(path.replace("services", "workers", 1) in EXAMPLES for path in without)
    assert EXAMPLES.keys() <= KEYS.keys()


@pytest.mark.parametrize("path", EXAMPLES)
def test_an_example_is_valid(path: str) -> None:
    value: Any = tomllib.loads(f"value = {EXAMPLES[path]}")["value"]
    for name in reversed(path.replace("NAME", "a").split(".")):
        value = {name: value}
    VALIDATOR.validate(value)


def test_the_defaults_that_no_struct_of_a_topology_holds_are_so() -> None:
    options, conditional = KvRoutingOptions(), ConditionalDisagg()
    real: dict[str, Any] = {"frontend.migration_limit": DEFAULT_LIMIT, "router.enforce_disagg": False}
    for path in (path for path in DEFAULTS if path.startswith("router.") and path not in real):
        *_, holder, name = path.split(".")
        found = conditional if holder == "conditional_disagg" else options
        real[path] = getattr(found, OF_OPTIONS.get(name, name))
    assert {path: tomllib.loads(f"v = {DEFAULTS[path].strip('`')}")["v"] for path in real} == real
    assert f"`{READY_TIMEOUT_S:g}`" in DEFAULTS["ready_timeout_s"]
    assert f"`{SPECS['vllm'].start_timeout_s:g}`" in DEFAULTS["ready_timeout_s"]


def test_text_beside_the_marks_stays() -> None:
    marks = "<!-- keys of runtime, made by `make topology` -->\n{}<!-- end -->\n"
    made = page(f"before\n{marks.format('old')}after\n")
    assert made.startswith("before\n") and made.endswith("after\n") and "old" not in made
    assert "`runtime.namespace`" in made and page(made) == made
