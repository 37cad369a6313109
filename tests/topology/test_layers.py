"""Files on top of files: what wins, and where a problem is said to stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.errors import TopologyError
from dynamo_cli.topology.layers import Layer, merged
from dynamo_cli.topology.load import load_topology

BASE = (
    'model = "org/base"\n[frontend]\nport = 1\nreplicas = 2\n[workers.decode]\nengine = "mock"\nargs = ["-a", "-b"]\n'
)


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    return folder / "top.toml"


def lines(top: Path) -> list[str]:
    with pytest.raises(TopologyError) as caught:
        load_topology(top)
    return [line.replace(f"{top.parent}/", "") for line in caught.value.problems]


def test_tables_are_merged_and_lists_replaced(tmp_path: Path) -> None:
    top = write(tmp_path, base=BASE, top='extends = "base.toml"\n[frontend]\nport = 9\n[workers.decode]\nargs = ["-c"]')
    topology = load_topology(top)
    assert (topology.name, topology.model) == ("top", "org/base")
    assert (topology.frontend.port, topology.frontend.replicas) == (9, 2)
    assert (topology.workers["decode"].engine, topology.workers["decode"].args) == ("mock", ("-c",))


def test_chains_and_several(tmp_path: Path) -> None:
    top = write(
        tmp_path,
        a='model = "a"\n[frontend]\nport = 1\nreplicas = 1',
        b='extends = "a.toml"\nmodel = "b"',
        c='[frontend]\nreplicas = 3\n[workers.w]\nengine = "echo"',
        top='extends = ["b.toml", "c.toml"]',
    )
    topology = load_topology(top)
    assert (topology.model, topology.frontend.port, topology.frontend.replicas) == ("b", 1, 3)


def test_paths_start_at_the_file_that_says_them(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "base.toml").write_text('model = "./m.gguf"\n[workers.w]\nengine = "mock"\ncwd = "."')
    top = write(tmp_path, top='extends = "deep/base.toml"\n[workers.v]\nengine = "mock"\ncwd = "."')
    topology = load_topology(top)
    assert topology.model == str(tmp_path / "deep" / "m.gguf")
    assert (topology.workers["w"].cwd, topology.workers["v"].cwd) == (str(tmp_path / "deep"), str(tmp_path))


def test_a_problem_stands_where_it_was_written(tmp_path: Path) -> None:
    top = write(tmp_path, base=BASE + "replica = 2", top='extends = "base.toml"\n[frontend]\nprot = 9')
    assert lines(top) == [
        "top.toml:3: frontend.prot: unknown key; did you mean port",
        "base.toml:8: workers.decode.replica: unknown key; did you mean replicas",
    ]


def test_what_was_replaced_is_no_problem_any_more(tmp_path: Path) -> None:
    top = write(tmp_path, base=BASE.replace("port = 1", 'port = "x"'), top='extends = "base.toml"\nfrontend.port = 3')
    assert load_topology(top).frontend.port == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('extends = "none.toml"', "top.toml:1: extends: none.toml: no such file"),
        ("\nextends = 3", "top.toml:2: extends: expected a file or a list of files, found the whole number 3"),
        ('extends = ["base.toml",\n 3]', "top.toml:2: extends: expected the name of a file, found the whole number 3"),
        ('extends = ""', 'top.toml:1: extends: expected the name of a file, found text ""'),
        ('extends = "top.toml"', "top.toml:1: extends: top.toml extends itself by way of top.toml"),
        ('extends = "loop.toml"', "loop.toml:1: extends: top.toml extends itself by way of loop.toml"),
        ('extends = "broken.toml"', "broken.toml:1: not valid TOML: "),
    ],
)
def test_wrong_extends(tmp_path: Path, text: str, problem: str) -> None:
    top = write(tmp_path, base=BASE, loop='extends = "top.toml"', broken="x =\n", top=text)
    [line] = lines(top)
    assert line.startswith(problem)


SCALARS = st.integers(0, 3) | st.sampled_from(["a", "b"]) | st.lists(st.integers(0, 2), max_size=2)
DOCUMENTS = st.recursive(
    st.dictionaries(st.sampled_from("abc"), SCALARS, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner | SCALARS, max_size=3),
    max_leaves=8,
)


def only_tables_meet(*documents: Any) -> bool:
    keys = {key for document in documents for key in document}
    for key in keys:
        values = [document[key] for document in documents if key in document]
        tables = [isinstance(value, dict) for value in values]
        if any(tables) and not (all(tables) and only_tables_meet(*values)):
            return False
    return True


def merge(*documents: Any) -> Any:
    layer = Layer({}, {})
    for document in documents:
        layer = merged(layer, Layer(document, {}))
    return layer.document


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_it_does_not_matter_which_two_are_merged_first(a: Any, b: Any, c: Any) -> None:
    if only_tables_meet(a, b, c):
        assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, a) == a and merge(a, {}) == a == merge({}, a)
