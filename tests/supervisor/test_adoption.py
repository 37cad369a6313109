"""What a new supervisor makes of a dead one's record, as a table."""

from __future__ import annotations

import os

import msgspec
import pytest

from dynamo_cli.supervisor.adoption import (
    Adoption,
    Resumed,
    base_environment,
    decide,
    obstacle,
    with_one_for_each_place,
)
from dynamo_cli.supervisor.processes import ProcessId
from dynamo_cli.supervisor.record import Past, Record
from dynamo_cli.topology.process import Plan
from tests.supervisor.plans import plan, worker

ONE, TWO = ProcessId(101, 1), ProcessId(102, 2)
PLAN = plan(worker(0), worker(1))


def record(**fields: object) -> Record:
    base = Record(deployment="test", deployment_id="x", supervisor=ProcessId(os.getpid(), 0), detached=True)
    return msgspec.structs.replace(base, **fields)


@pytest.mark.parametrize(
    ("past", "process", "living", "resumed"),
    [
        pytest.param(None, None, set(), None, id="never started: begins"),
        pytest.param(None, ONE, {ONE}, Resumed(Past(), ONE), id="alive: watched on"),
        pytest.param(Past(restarts=3), ONE, {ONE}, Resumed(Past(restarts=3), ONE), id="alive: keeps its count"),
        pytest.param(Past(ready=5.0), ONE, set(), Resumed(Past(ready=5.0), ONE), id="ended unwatched: an exit"),
        pytest.param(Past(state="FAILED"), ONE, set(), Resumed(Past(state="FAILED")), id="given up: rests"),
        pytest.param(Past(state="STOPPED"), ONE, set(), Resumed(Past(state="STOPPED")), id="stopped: rests"),
        pytest.param(Past(state="STOPPED"), None, set(), Resumed(Past(state="STOPPED")), id="stopped before any start"),
        pytest.param(Past(state="FAILED"), None, set(), None, id="waited in vain for another: begins"),
        pytest.param(
            Past(state="FAILED"), ONE, {ONE}, Resumed(Past(state="FAILED"), ONE), id="alive whatever was told"
        ),
        pytest.param(Past(state="DRAINING"), ONE, {ONE}, Resumed(Past(state="DRAINING"), ONE), id="told to rest"),
    ],
)
def test_what_becomes_of_a_service(
    past: Past | None, process: ProcessId | None, living: set[ProcessId], resumed: Resumed | None
) -> None:
    known = record(
        processes={"decode-0": process} if process else {}, services={"decode-0": past} if past is not None else {}
    )
    assert decide(PLAN, known, living).services == ({"decode-0": resumed} if resumed else {})


def test_a_living_process_that_the_plan_has_no_more_is_a_stray() -> None:
    known = record(processes={"decode-0": ONE, "decode-7": TWO}, state="READY")
    assert decide(PLAN, known, {ONE, TWO}) == Adoption({"decode-0": Resumed(Past(), ONE)}, (TWO,), was_ready=True)
    assert decide(PLAN, known, {ONE}).strays == ()


@pytest.mark.parametrize(
    ("ready", "living", "kept"),
    [
        pytest.param({"decode-0"}, {ONE, TWO}, "decode-0", id="the next one loads: the one before stays"),
        pytest.param({"decode-0", "decode-0.b"}, {ONE, TWO}, "decode-0.b", id="the next one serves: it stays"),
        pytest.param({"decode-0", "decode-0.b"}, {ONE}, "decode-0", id="the next one served and died"),
        pytest.param({"decode-0", "decode-0.b"}, {TWO}, "decode-0.b", id="the one before died"),
        pytest.param(set(), set(), "decode-0", id="neither lives"),
    ],
)
def test_of_half_a_replacement_one_process_stays(ready: set[str], living: set[ProcessId], kept: str) -> None:
    known = record(processes={"decode-0": ONE, "decode-0.b": TWO}, services={name: Past(ready=5.0) for name in ready})
    twin = msgspec.structs.replace(worker(0), name="decode-0.b", generation=1)
    halfway = plan(worker(0), twin, worker(1))
    settled = with_one_for_each_place(halfway, known, living)
    assert [spec.name for spec in settled.processes] == [kept, "decode-1"]
    assert with_one_for_each_place(settled, known, living) is settled


@pytest.mark.parametrize(
    ("fields", "readable", "left", "words"),
    [
        ({}, True, 2, ""),
        ({}, True, 0, "nothing is left of it"),
        ({}, False, 2, "its plan cannot be read"),
        ({"detached": False}, True, 2, "it ran in the foreground"),
        ({"state": "STOPPING"}, True, 2, "it was being stopped"),
    ],
)
def test_what_nobody_can_take_over(fields: dict[str, object], readable: bool, left: int, words: str) -> None:
    known: Plan | None = PLAN if readable else None
    assert obstacle(record(**fields), known, left) == words


def test_the_environment_of_the_dead_supervisor_is_what_its_children_share() -> None:
    environments = {"a": {"HOME": "/h", "GPU": "1", "X": "a's"}, "b": {"HOME": "/h", "GPU": "2", "X": "own"}}
    assert base_environment(environments, {"a": ["GPU", "X"], "b": ["GPU"]}) == {"HOME": "/h", "X": "own"}
    assert base_environment({}, {}) == {}
