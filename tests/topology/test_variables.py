from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.errors import TopologyError
from dynamo_cli.topology.load import load_topology
from dynamo_cli.topology.report import Places, Report
from dynamo_cli.topology.variables import expand, read_env_file

GOOD = '[workers.decode]\nengine = "mock"\n'


def expanded(text: str, **environ: str) -> str:
    report = Report(Places("f"))
    value = expand(text, environ, report)
    report.raise_problems()
    return str(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "1"),
        ("x${A}y${A}", "x1y1"),
        ("${B:-two}", "two"),
        ("${A:-two}", "1"),
        ("${EMPTY:-two}", "two"),
        ("${B:-}", ""),
        ("${B:-a $x b}", "a $x b"),
        ("$${A}", "${A}"),
        ("$$A $A $(A)", "$$A $A $(A)"),
        ("plain", "plain"),
    ],
)
def test_values(text: str, value: str) -> None:
    assert expanded(text, A="1", EMPTY="") == value


@pytest.mark.parametrize("text", ["${B}", "${EMPTY}", "${A-x}", "${A", "${1}", "${}"])
def test_problems(text: str) -> None:
    with pytest.raises(TopologyError):
        expanded(text, A="1", EMPTY="")


@given(st.text(st.sampled_from("${}aA:- "), max_size=12))
def test_an_escaped_text_comes_back(text: str) -> None:
    if "$${" not in text:
        assert expanded(text.replace("${", "$${")) == text


def test_numbers_and_truth_values_where_they_are_expected(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text(
        'model = "${NUMBER}"\n[frontend]\nport = "${NUMBER}"\n[workers.decode]\nengine = "mock"\n'
        'env = { A = "${NUMBER}" }\nstop_timeout_s = "${HALF}"\noptions = { block_size = "${NUMBER}" }\n'
        'liveness = "${OFF}"\n'
    )
    topology = load_topology(file, environ={"NUMBER": "8001", "HALF": "0.5", "OFF": "false"})
    pool = topology.workers["decode"]
    assert (topology.model, topology.frontend.port, pool.env, pool.stop_timeout_s) == ("8001", 8001, {"A": "8001"}, 0.5)
    assert pool.options == {"block_size": 8001} and pool.liveness is False
    with pytest.raises(TopologyError, match='expected a whole number, found text "many"'):
        load_topology(file, environ={"NUMBER": "many", "HALF": "1", "OFF": "true"})


def test_the_environment_wins_over_the_file_beside_the_topology(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MODEL=from/file\nNAME=file\n")
    file = tmp_path / "t.toml"
    file.write_text('name = "${NAME}"\nmodel = "${MODEL}"\n' + GOOD)
    topology = load_topology(file, environ={"NAME": "environment"})
    assert (topology.name, topology.model) == ("environment", "from/file")


def test_the_lines_of_an_env_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(
        '\ufeff# comment\n\nA=1\nexport B = two words # comment\nC=\'# ${x}\'\nD="a\\n\\"b" # c\nE=\nF=a#b\n',
        encoding="utf-8",
    )
    assert read_env_file(file) == {"A": "1", "B": "two words", "C": "# ${x}", "D": 'a\n"b', "E": "", "F": "a#b"}
    assert read_env_file(tmp_path / "none") == {}


@pytest.mark.parametrize("line", ["A", "1A=x", "A='x", 'A="x" y', "= 1"])
def test_a_line_that_is_none(tmp_path: Path, line: str) -> None:
    file = tmp_path / ".env"
    file.write_text(f"GOOD=1\n{line}\n")
    with pytest.raises(TopologyError) as caught:
        read_env_file(file)
    assert caught.value.problems[0].startswith(f"{file}:2: expected NAME=value, found ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_env_file_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("A=1")
    file.chmod(0)
    with pytest.raises(TopologyError, match="cannot be read"):
        read_env_file(file)
