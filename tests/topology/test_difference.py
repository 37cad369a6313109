from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.errors import UsageError
from dynamo_cli.topology.difference import difference, told
from dynamo_cli.topology.process import GpuAssignment, Plan, ProcessSpec, RestartPolicy
from dynamo_cli.topology.twins import place_of, twin_of


def spec(pool: str, replica: int = 0, **fields: Any) -> ProcessSpec:
    name = fields.pop("name", f"{pool}-{replica}")
    fields = {"argv": ("worker",), "env": {"DYN_NAMESPACE": "dynamo"}, **fields}
    return ProcessSpec(name=name, kind="worker", pool=pool, replica=replica, **fields)


def plan(*processes: ProcessSpec, **fields: Any) -> Plan:
    fields = {"deployment": "d", "source": "d.toml", "host": "127.0.0.1", "port": 0, "models": (), **fields}
    return Plan(processes=processes, **fields)


def lines(before: Plan, after: Plan) -> list[str]:
    return list(told(difference(before, after), before))


def test_what_is_equal_stays_whichever_name_it_has() -> None:
    running = plan(spec("a", name="a-0.b", generation=3), spec("a", 1))
    found = difference(running, plan(spec("a"), spec("a", 1)))
    assert found.kept == running.processes and found.processes == 0
    assert lines(running, plan(spec("a"), spec("a", 1))) == ["2 processes stay as they are"]


def test_each_kind_of_difference_is_told() -> None:
    before = plan(spec("a"), spec("a", 1), spec("b"), spec("c", 0, argv=("x", "--n", "1")), spec("k"))
    after = plan(spec("a"), spec("k"), spec("c", 0, argv=("x", "--n", "2", "--new")), spec("n"), spec("n", 1))
    assert lines(before, after) == [
        "+ n: new, n-0, n-1",
        "~ c: c-0",
        "    command: 1 -> 2 --new",
        "- a: a-1",
        "- b: all of it, b-0",
        "2 processes stay as they are",
    ]


def test_variables_are_told_without_secrets() -> None:
    def running(**more: str) -> Plan:
        return plan(spec("a", env={"DYN_NAMESPACE": "dynamo", **more}))

    assert lines(running(A="1"), running(B="2"))[1:3] == ["    env A: 1 -> (not set)", "    env B: (not set) -> 2"]
    secret = lines(running(HF_TOKEN="hf_abcdefgh"), running(HF_TOKEN="hf_ijklmnop"))
    assert secret[1] == "    a secret in its command or environment"


def test_supervision_changes_without_another_process() -> None:
    before, patient = plan(spec("a")), RestartPolicy(max_restarts=9)
    found = difference(before, plan(spec("a", restart=patient)))
    assert found.kept[0].restart == patient and not found.processes
    assert "= a-0: how it is supervised, without a restart" in lines(before, plan(spec("a", restart=patient)))
    assert difference(before, plan(spec("a", restart=RestartPolicy(memory_limit=1)))).replaced


def test_of_gpus_only_which_they_are_counts() -> None:
    def on(uuid: str, free: int) -> Plan:
        return plan(spec("a", gpus=(GpuAssignment(0, uuid, memory_free=free),)))

    assert not difference(on("GPU-a", 1), on("GPU-a", 2)).processes
    assert difference(on("GPU-a", 1), on("GPU-b", 1)).replaced


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"deployment": "e"}, "name is d in what runs and e here"),
        (
            {"port": 8000},
            "frontend.port is 0 in what runs and 8000 here, which needs `dynamo down d` and up again, or ",
        ),
        ({"host": "0.0.0.0"}, "frontend.host is 127.0.0.1 in what runs"),
        ({"tls": True}, "frontend.tls_cert_path is off in what runs and on here"),
    ],
)
def test_what_cannot_change_while_it_runs(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("(", r"\(")):
        difference(plan(spec("a")), plan(spec("a"), **fields))


def test_the_namespace_cannot_either() -> None:
    with pytest.raises(UsageError, match=r"runtime.namespace is dynamo in what runs and other here"):
        difference(plan(spec("a")), plan(spec("a", env={"DYN_NAMESPACE": "other"})))


PROCESSES = st.dictionaries(
    st.tuples(st.sampled_from("abc"), st.integers(0, 3)), st.tuples(st.integers(0, 2), st.booleans()), max_size=8
)


@given(PROCESSES, PROCESSES)
def test_carried_out_any_difference_gives_the_wanted_plan(
    now: dict[tuple[str, int], tuple[int, bool]], then: dict[tuple[str, int], tuple[int, bool]]
) -> None:
    def made(processes: dict[tuple[str, int], tuple[int, bool]], twins: bool) -> Plan:
        return plan(
            *(
                spec(pool, replica, argv=(str(word),), name=f"{pool}-{replica}{'.b' if twin and twins else ''}")
                for (pool, replica), (word, twin) in processes.items()
            )
        )

    running, wanted = made(now, twins=True), made(then, twins=False)
    found = difference(running, wanted)
    result = {one.name: one for one in running.processes}
    for gone in (*found.removed, *(old for old, _ in found.replaced)):
        del result[gone.name]
    for come in found.added:
        result[come.name] = come
    for old, new in found.replaced:
        result[twin_of(old.name)] = msgspec.structs.replace(new, name=twin_of(old.name))
    places = {place_of(name): msgspec.structs.replace(one, name=place_of(name)) for name, one in result.items()}
    assert len(places) == len(result)
    assert places == {one.name: one for one in wanted.processes}
    untouched = {one.name for one in found.kept}
    assert untouched == {
        one.name
        for one in running.processes
        if one.argv in [w.argv for w in wanted.processes if w.name == place_of(one.name)]
    }
    assert not difference(wanted, wanted).processes
