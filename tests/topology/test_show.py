from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.topology.layers import tomllib
from dynamo_cli.topology.load import Document, read_document
from dynamo_cli.topology.report import Places, Report
from dynamo_cli.topology.shelf import find_topologies
from dynamo_cli.topology.show import toml_lines


def test_every_value_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text('model = "org/m"\n[workers.decode]\nengine = "mock"\nargs = ["-a"]\n')
    top = tmp_path / "top.toml"
    top.write_text(
        'extends = "base.toml"\n[workers.decode]\nreplicas = "${N:-2}"\nenv = { HF_TOKEN = "hf_abcdefghijk" }\n'
    )
    shown = [" ".join(line.split()) for line in toml_lines(read_document(top, ["frontend.port=0"], {}))]
    assert shown == [
        f'model = "org/m" # {tmp_path}/base.toml:1',
        "",
        "[workers.decode]",
        f'engine = "mock" # {tmp_path}/base.toml:3',
        f'args = ["-a"] # {tmp_path}/base.toml:4',
        f'replicas = "2" # {top}:3',
        "",
        "[workers.decode.env]",
        f'HF_TOKEN = "***" # {top}:4',
        "",
        "[frontend]",
        "port = 0 # --set frontend.port",
    ]


KEYS = st.text(st.characters(codec="utf-8"), max_size=3)
SCALARS = (
    st.text(st.characters(codec="utf-8"), max_size=4) | st.integers(-9, 9) | st.booleans() | st.floats(allow_nan=False)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)


@given(st.dictionaries(KEYS, VALUES, max_size=3))
def test_what_is_shown_reads_back(values: dict[str, Any]) -> None:
    lines = toml_lines(Document(values, Report(Places("f"))))
    assert tomllib.loads("\n".join(lines)) == values


def test_the_shelf_passes_over_what_is_no_topology(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('#:schema x\n#\n# First line.\n# Second.\nname = "b"\n[workers.w]\n[services.s]\n')
    (tmp_path / "other.toml").write_text("[tool]\n")
    (tmp_path / "broken.toml").write_text("x =")
    (tmp_path / "bare.toml").write_text('extends = "a.toml"')
    [first, second] = find_topologies(tmp_path)
    assert (first.name, first.about, first.parts) == ("b", "First line.", ("w", "s"))
    assert (second.name, second.about) == ("bare", "")
