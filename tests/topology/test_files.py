"""Files that are no topology at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_cli.errors import TopologyError
from dynamo_cli.topology.files import MOST_BYTES, read_text


def problem(path: Path) -> str:
    with pytest.raises(TopologyError) as caught:
        read_text(path)
    (line,) = caught.value.problems
    return line


def test_a_missing_file_is_told_with_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("topologies").mkdir()
    for name in ("agg", "multi_frontend"):
        Path(f"topologies/{name}.toml").touch()
    assert problem(Path("topologies/ag.toml")) == "topologies/ag.toml: no such file; did you mean topologies/agg.toml"
    assert problem(Path("agg")) == "agg: no such file; did you mean topologies/agg.toml"
    assert problem(Path("multi.toml")) == "multi.toml: no such file; did you mean topologies/multi_frontend.toml"
    assert problem(Path("no/zzz.toml")) == "no/zzz.toml: no such file"


def test_a_directory(tmp_path: Path) -> None:
    assert problem(tmp_path) == f"{tmp_path}: is a directory, not a topology file"
    (tmp_path / "a.toml").touch()
    assert problem(tmp_path) == f"{tmp_path}: is a directory, not a topology file; it holds {tmp_path}/a.toml"


def test_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(b"# one\n# two \xe9\n")
    assert problem(file) == f"{file}:2: not UTF-8 text: byte 0xe9"


def test_a_model_is_not_read_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "a model.gguf"
    with file.open("wb") as sparse:
        sparse.truncate(MOST_BYTES + 1)
    too_much = f"{file}: is more than {MOST_BYTES >> 20} MiB, no topology file"
    assert problem(file) == f"{too_much}; `dynamo init '{file}'` writes one for this model"


@pytest.mark.parametrize("content", [b"", b"\n \r\n", b"\xef\xbb\xbf"])
def test_empty(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(content)
    assert problem(file) == f"{file}:1: the file is empty; add a table such as [workers.decode]"


def test_a_name_no_system_takes(tmp_path: Path) -> None:
    assert problem(tmp_path / ("x" * 300)).endswith(": cannot be read: File name too long")
    loop = tmp_path / "loop.toml"
    loop.symlink_to(loop)
    assert problem(loop) == f"{loop}: cannot be read: Too many levels of symbolic links"
