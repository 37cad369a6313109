from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.errors import UsageError
from dynamo_cli.supervisor.scaling import copied, scaled
from dynamo_cli.topology.process import GpuAssignment, Plan
from tests.supervisor.plans import frontend, plan, worker

PLAN = plan(frontend(), worker(0, ports={"http": 8100}, env={"DYN_PORT_HTTP": "8100"}), worker(1))
MODELS = {spec.pool: spec for spec in reversed(PLAN.processes)}


def names(changed: Plan) -> list[str]:
    return [spec.name for spec in changed.processes]


def scale(replicas: dict[str, int], start: Plan = PLAN, taken: tuple[str, ...] = ()) -> Plan:
    return scaled(start, replicas, MODELS, count(9000), taken)


def test_more_and_fewer() -> None:
    assert names(scale({"decode": 4})) == ["frontend-0", "decode-0", "decode-1", "decode-2", "decode-3"]
    assert names(scale({"decode": 1, "frontend": 2})) == ["frontend-0", "frontend-1", "decode-0"]
    assert names(scale({"decode": 0})) == ["frontend-0"]
    assert names(scale({"decode": 1}, scale({"decode": 0}))) == ["frontend-0", "decode-0"]


def test_a_name_that_still_runs_is_not_given_again() -> None:
    assert names(scale({"decode": 2}, scale({"decode": 1}), taken=("decode-1",)))[-1] == "decode-2"


def test_a_copy_has_its_own_ports_wherever_they_stand() -> None:
    model = worker(0, ports={"http": 8100}, argv=("x", "--port=8100", "18100"), env={"URL": "http://h:8100/v1"})
    copy = copied(model, 3, count(9000))
    assert (copy.name, copy.replica, copy.ports) == ("decode-3", 3, {"http": 9000})
    assert copy.argv == ("x", "--port=9000", "18100") and copy.env == {"URL": "http://h:9000/v1"}


@pytest.mark.parametrize(
    ("replicas", "words"),
    [({"decode": -1}, "decode=-1: must be between"), ({"nothing": 1}, "nothing has no replica to copy")],
)
def test_what_cannot_be(replicas: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        scale(replicas)


def test_gpus_only_fewer() -> None:
    held = plan(worker(0, gpus=(GpuAssignment(0, "GPU-a"),)), worker(1, gpus=(GpuAssignment(1, "GPU-b"),)))
    models = {"decode": held.processes[0]}
    assert names(scaled(held, {"decode": 1}, models, count(9000))) == ["decode-0"]
    with pytest.raises(UsageError, match="write replicas = 3 in the topology"):
        scaled(held, {"decode": 3}, models, count(9000))


def test_one_port_is_for_one_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = plan(frontend(), worker(0))
    monkeypatch.setenv("DYN_SYSTEM_PORT", "9090")
    assert names(scale({"frontend": 2}, alone)) == ["frontend-0", "frontend-1", "decode-0"]
    assert names(scale({"decode": 1}, scale({"decode": 0}, alone))) == ["frontend-0", "decode-0"]
    with pytest.raises(UsageError, match=r"decode=2: they cannot all listen on port 9090 \(DYN_SYSTEM_PORT\)"):
        scale({"decode": 2}, alone)


@given(st.lists(st.integers(0, 9), max_size=6))
def test_any_way_leads_to_the_same_number_of_distinct_replicas(steps: list[int]) -> None:
    current = PLAN
    for step in steps:
        current = scale({"decode": step}, current)
    members = [spec.name for spec in current.processes if spec.pool == "decode"]
    assert len(members) == len(set(members)) == (steps[-1] if steps else 2)
