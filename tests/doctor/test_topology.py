from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_cli.doctor.check import Check
from dynamo_cli.doctor.guard import answers
from dynamo_cli.doctor.machine import Asked, Machine
from dynamo_cli.doctor.topology import models_checks, plan_checks, questions, split_help
from dynamo_cli.errors import EngineMissing
from dynamo_cli.gpus.gpu import Gpu
from dynamo_cli.gpus.health import Driver, GpuHealth
from dynamo_cli.hub.catalogue import DEFAULT_MODEL
from dynamo_cli.topology.parts import Topology
from tests.doctor.judged import judge
from tests.gpus.fake import GIB

ECHO = '[workers.decode]\nengine = "echo"\n'
CARD = Driver(count=1, gpus=(GpuHealth(gpu=Gpu(index=0, uuid="GPU-a", memory_total=80 * GIB, memory_free=9 * GIB)),))


def checks_of(text: str, tmp_path: Path, driver: Driver | None = None) -> dict[str, Check]:
    file = tmp_path / "t.toml"
    file.write_text(text)
    machine = Machine(Asked(topology=str(file)), {})
    machine.__dict__["driver"] = driver or Driver(reason="no NVIDIA driver")
    return {check.name: check for question in questions(machine) for check in answers(question, 20)}


def test_a_topology_that_can_start(tmp_path: Path) -> None:
    found = checks_of(ECHO, tmp_path)
    judge(found["topology-file"], "ok", "t.toml: no problem")
    judge(found["plan"], "ok", "t: 2 processes, 0 GPUs, echo")
    judge(found["topology-models"], "ok")


def test_every_problem_is_a_line_of_its_own(tmp_path: Path) -> None:
    text = f'[frontend]\nprot = 1\n[runtime]\ndiscovery = "etcd"\n{ECHO}'
    found = checks_of(text, tmp_path)
    assert list(found) == ["topology-problem-1", "topology-problem-2"]
    assert "t.toml:2: frontend.prot: unknown key" in found["topology-problem-1"].detail
    assert "t.toml:4: runtime.discovery: not available yet" in found["topology-problem-2"].detail


def test_a_file_that_is_not_there() -> None:
    (question,) = questions(Machine(Asked(topology="/no/such.toml"), {}))
    (check,) = answers(question, 20)
    assert (check.status, check.detail) == ("error", "/no/such.toml: no such file")


def test_what_keeps_it_from_starting_here(tmp_path: Path) -> None:
    found = checks_of('model = "org/name"\n[workers.a]\nengine = "mock"\ngpus = 2\n', tmp_path)
    judge(found["plan"], "error", "wants 2 GPUs, found none (no NVIDIA driver) -> set workers.a.gpus = 0")
    judge(found["topology-model-1"], "error", "pool a: model org/name is not on this disk -> dynamo pull org/name")


def test_warnings_of_the_plan(tmp_path: Path) -> None:
    found = checks_of('model = "org/name"\n[workers.a]\nengine = "mock"\ngpus = 1\n', tmp_path, CARD)
    judge(found["plan"], "ok", "2 processes, 1 GPU, mock")
    assert "has only 9.0 GiB of 80.0 GiB free" in found["plan-warning-1"].detail
    assert [name for name in found if name.startswith("plan-")] == ["plan-warning-1"], "models have their own checks"


def test_a_catalogue_model_is_fetched_by_up() -> None:
    (check,) = models_checks([("a", DEFAULT_MODEL, f"model {DEFAULT_MODEL} is not on this disk; run `dynamo pull`")])
    judge(check, "warn", "`dynamo up` fetches it -> dynamo pull")


def test_an_engine_that_is_missing() -> None:
    missing = EngineMissing("pool a: engine x is not installed; run `pip install x`")
    (check,) = plan_checks(Topology(), missing)
    assert (check.status, check.detail, check.fix) == ("error", "pool a: engine x is not installed", "pip install x")


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("no; run `x y`", ("no", "x y")),
        ("a; b; try c", ("a; b", "try c")),
        ("nothing to be done", ("nothing to be done", "")),
    ],
)
def test_lines_with_their_help(line: str, parts: tuple[str, str]) -> None:
    assert split_help(line) == parts
