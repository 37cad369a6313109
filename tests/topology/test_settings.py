"""--set KEY=VALUE: TOML values, bare text, and problems that stand at the argument."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dynamo_cli.errors import TopologyError
from dynamo_cli.topology.load import load_topology
from dynamo_cli.topology.parts import Topology

TEXT = """\
name = "agg"
model = "org/model"
[frontend]
port = 70000
[workers.decode]
engine = "mock"
restart = "no"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "agg.toml"
    path.write_text(TEXT)
    return path


def load(file: Path, *sets: str) -> Topology:
    return load_topology(file, ["frontend.port=8001", *sets])


def problems(file: Path, *sets: str) -> list[str]:
    with pytest.raises(TopologyError) as caught:
        load(file, *sets)
    return caught.value.problems


def test_a_setting_replaces_a_wrong_value_of_the_file(file: Path) -> None:
    assert load(file).frontend.port == 8001


def test_the_last_of_two_settings_counts(file: Path) -> None:
    assert load(file, "frontend.port=1", "frontend.port=2").frontend.port == 2


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("model=foo", "foo"),
        ("model=org/a b", "org/a b"),
        ('model="org/x"', "org/x"),
        (" model =foo", "foo"),
        ("model=a=b", "a=b"),
        ('model="a', '"a'),
        ("model=a\n[b]", "a\n[b]"),
        ('model=1\nc = "2"', '1\nc = "2"'),
    ],
)
def test_text(file: Path, setting: str, value: str) -> None:
    assert load(file, setting).model == value


@pytest.mark.parametrize(
    ("setting", "field", "value"),
    [
        ("workers.decode.replicas=4", "replicas", 4),
        ('workers.decode.args=["-c", "1"]', "args", ("-c", "1")),
        ('workers.decode.env.A="1"', "env", {"A": "1"}),
        ('workers.decode.env={"A" = "=b"}', "env", {"A": "=b"}),
        ("workers.decode.options.speedup_ratio=0", "options", {"speedup_ratio": 0}),
        ("workers.'decode'.gpus=[0,'GPU-1']", "gpus", (0, "GPU-1")),
        ("workers.decode.gpus=auto", "gpus", "auto"),
        ("workers.decode.stop_timeout_s=2", "stop_timeout_s", 2.0),
    ],
)
def test_values_as_in_toml(file: Path, setting: str, field: str, value: Any) -> None:
    assert getattr(load(file, setting).workers["decode"], field) == value


def test_a_missing_table_of_a_known_key_is_made(file: Path) -> None:
    topology = load(file, "router.mode=random", "runtime.namespace=blue")
    assert (topology.router.mode, topology.runtime.namespace) == ("random", "blue")


def test_a_whole_pool_may_be_added(file: Path) -> None:
    assert load(file, 'workers.more={engine="echo",replicas=2}').workers["more"].replicas == 2


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("frontend.port=70000", "--set frontend.port: must be between 0 and 65535, found 70000"),
        ("frontend.port=abc", '--set frontend.port: expected a whole number, found text "abc"'),
        ("frontend.prot=1", "--set frontend.prot: unknown key; did you mean port"),
        ("prot=1", "--set prot: unknown key; did you mean frontend.port"),
        ("fronted.port=1", "--set fronted.port: fronted: unknown key; did you mean frontend"),
        (
            "workers.decod.replicas=1",
            "--set workers.decod.replicas: no pool of workers has this name; did you mean decode",
        ),
        ("model.x=1", '--set model.x: model is text "org/model", which has no keys; set model as a whole'),
        (
            "workers.decode.restart.mode=no",
            '--set workers.decode.restart.mode: workers.decode.restart is text "no", which has no keys; '
            "set workers.decode.restart as a whole",
        ),
        ("model=1", "--set model: expected text, found the whole number 1; write '\"1\"'"),
        ("model=", "--set model: must not be empty"),
        ("model", "--set model: has no value; write model=VALUE"),
        ("a b=1", "--set a b: not a dotted key, as in --set frontend.port=8001"),
        ("=1", "--set =1: not a dotted key, as in --set frontend.port=8001"),
        (
            "workers.decode={engine='moc'}",
            '--set workers.decode: workers.decode.engine: unknown engine "moc"; did you mean mock',
        ),
        ("workers.decode.engine=mocc", '--set workers.decode.engine: unknown engine "mocc"; did you mean mock'),
        ("workers.decode.options.seed=x", '--set workers.decode.options.seed: expected a whole number, found text "x"'),
        ("workers={}", "--set workers: no pool of workers; add a table such as [workers.decode]"),
        ("workers.decode.args=[-c,1]", '--set workers.decode.args: expected a list of texts, found text "[-c,1]"'),
        (
            "workers.decode.role=encode",
            '--set workers.decode.role: role "encode" is not available yet; use aggregated, prefill, decode',
        ),
    ],
)
def test_a_problem_stands_at_the_argument(file: Path, setting: str, problem: str) -> None:
    assert problems(file, setting) == [problem]


def test_several_in_the_order_given(file: Path) -> None:
    found = problems(file, "x=1", "bad", "router.mode=kw", "model=1")
    assert [line.split(":")[0] for line in found] == ["--set x", "--set bad", "--set router.mode", "--set model"]


def test_a_relative_model_path_starts_where_it_was_written(
    file: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    file.write_text(TEXT.replace("org/model", "./m.gguf"))
    assert load(file).model == str(file.parent / "m.gguf")
    assert load(file, "model=../m.gguf").model == str(elsewhere.parent / "m.gguf")
    assert load(file, "workers.decode.model=~/m").workers["decode"].model == str(Path.home() / "m")
