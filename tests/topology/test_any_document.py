"""Whatever stands in a file or a setting: a plan, or problems of one line each; never another error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamo_cli.errors import DynamoError, TopologyError
from tests.topology.machines import gpu, machine, plan

KEYS = st.sampled_from(
    "name model frontend router runtime workers decode frontend planner host port replicas mode namespace engine role "
    "extends services probe log tcp liveness "
    "gpus tensor_parallel args options env depends_on restart max_restarts backoff_s command endpoint seed x ü".split()
) | st.text(st.characters(codec="utf-8"), max_size=3)
WORDS = st.sampled_from(
    [
        "auto",
        "mock",
        "echo",
        "custom",
        "vllm",
        "hungry",
        "kv",
        "random",
        "decode",
        "frontend",
        "GPU-a",
        "",
        "${X}",
        "a/b",
    ]
)
SCALARS = st.one_of(
    WORDS,
    WORDS,
    st.text(st.characters(codec="utf-8"), max_size=5),
    st.integers(-2, 3),
    st.integers(),
    st.booleans(),
    st.floats(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
POOL = st.fixed_dictionaries(
    {},
    optional={
        "engine": WORDS,
        "gpus": VALUES,
        "args": VALUES,
        "options": VALUES,
        "restart": VALUES,
        "depends_on": st.lists(st.sampled_from(["decode", "b", "frontend", "c"]), max_size=2),
        "replicas": st.integers(0, 3),
        "tensor_parallel": st.integers(1, 2),
        "model": VALUES,
    },
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=5) | st.fixed_dictionaries(
    {"workers": st.dictionaries(st.sampled_from(["decode", "b"]), POOL | VALUES, max_size=2)},
    optional={"model": WORDS, "frontend": VALUES, "router": VALUES, "runtime": VALUES},
)


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return repr(value) if value == value and abs(value) < 1e15 else "nan"
    return json.dumps(value).replace("\x7f", "\\u007f")


def plan_or_problems(folder: Path, text: str, *sets: str) -> None:
    try:
        plan(folder, text, machine(gpu(0), gpu(1)), *sets)
    except TopologyError as error:
        assert error.problems
        for line in error.problems:
            assert len(line.splitlines()) == 1
            assert line.startswith((f"{folder}/deploy.toml:", "--set "))
    except DynamoError as error:
        assert len(str(error).splitlines()) == 1


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(document=DOCUMENTS)
def test_any_document(tmp_path: Path, document: dict[str, Any]) -> None:
    text = "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in document.items())
    plan_or_problems(tmp_path, text or "#")


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(text=st.text(st.characters(codec="utf-8"), max_size=40) | st.text("[]{}=.,'\"\\\n#a1 ", max_size=30))
def test_any_text(tmp_path: Path, text: str) -> None:
    plan_or_problems(tmp_path, text)
    plan_or_problems(tmp_path, 'model = "m"\n[workers.decode]\nengine = "mock"\n', text)


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(path=st.lists(KEYS, min_size=1, max_size=4), value=VALUES)
def test_any_setting(tmp_path: Path, path: list[str], value: Any) -> None:
    key = ".".join(map(json.dumps, path))
    plan_or_problems(tmp_path, 'model = "m"\n[workers.decode]\nengine = "mock"\n', f"{key}={toml(value)}")
