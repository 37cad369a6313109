from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_cli.errors import ResourceMissing, UsageError
from dynamo_cli.topology.load import load_topology
from dynamo_cli.topology.subset import subset
from tests.topology.machines import gpu, machine, plan

TEXT = """
model = "m"
[workers.a]
engine = "mock"
depends_on = ["b", "frontend"]
[workers.b]
engine = "mock"
depends_on = { s = "started" }
[workers.c]
engine = "mock"
[services.s]
command = "s"
[services.t]
command = "t"
"""


def names(tmp_path: Path, *wanted: str, deps: bool = True) -> tuple[list[str], list[str]]:
    file = tmp_path / "t.toml"
    file.write_text(TEXT)
    part = subset(load_topology(file), wanted, with_dependencies=deps)
    return list(part.workers), list(part.services)


def test_with_what_they_depend_on(tmp_path: Path) -> None:
    assert names(tmp_path, "a") == (["a", "b"], ["s"])
    assert names(tmp_path, "t", "c") == (["c"], ["t"])


def test_without(tmp_path: Path) -> None:
    assert names(tmp_path, "a", deps=False) == (["a"], [])
    part = subset(load_topology(tmp_path / "t.toml"), ["a"], with_dependencies=False)
    assert [wanted.name for wanted in part.workers["a"].depends_on] == ["frontend"]


def test_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no pool or service d; known here: a, b, c, s, t"):
        names(tmp_path, "d")


def test_gpus_of_other_deployments(tmp_path: Path) -> None:
    text = '[workers.decode]\nengine = "hungry"\nmodel = "m"\n'
    held = machine(gpu(0), gpu(1), held_gpus={"GPU-a": "other"})
    assert [each.uuid for p in plan(tmp_path, text, held).processes for each in p.gpus] == ["GPU-b"]
    with pytest.raises(ResourceMissing, match="wants GPU 0, which deployment other has; take another one"):
        plan(tmp_path, text + "gpus = [0]", machine(gpu(0), held_gpus={"GPU-a": "other"}))
    with pytest.raises(ResourceMissing, match="1 of them given to deployment other; `dynamo down other`, set "):
        plan(tmp_path, text, machine(gpu(0), held_gpus={"GPU-a": "other"}))
