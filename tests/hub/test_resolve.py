from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import NoReturn

import pytest

from dynamo_cli.errors import ModelMissing
from dynamo_cli.hub.catalogue import CATALOGUE, DEFAULT_MODEL
from dynamo_cli.hub.resolve import resolve_model
from tests.text.toy_gguf import write_gguf


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def huggingface_model(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"{}")
    return folder


def cached(root: Path, name: str, *names: str) -> Path:
    repository = root / "hub" / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc123")
    return huggingface_model(repository / "snapshots" / "abc123", *names)


def test_a_gguf_file(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", {})
    for name in (str(path), "m.gguf", "./m.gguf"):
        found = resolve_model(name)
        assert (found.name, found.path, found.kind) == (name, path, "gguf")


@pytest.mark.parametrize(
    ("name", "says"),
    [("~nobody-of-that-name/m.gguf", "home directory it begins with is not known"), ("/" + "a" * 300, "too long")],
    ids=["no such home", "too long"],
)
def test_a_path_that_cannot_be(name: str, says: str) -> None:
    with pytest.raises(ModelMissing, match=f"model {name}: .*{says}"):
        resolve_model(name)


def test_a_gguf_blob_without_a_suffix(tmp_path: Path) -> None:
    assert resolve_model(str(write_gguf(tmp_path / "blob", {}))).kind == "gguf"


def test_a_huggingface_directory(tmp_path: Path) -> None:
    folder = huggingface_model(tmp_path / "m", "config.json", "model.safetensors")
    found = resolve_model(str(folder))
    assert (found.path, found.kind) == (folder, "hf")


def test_the_only_gguf_of_a_directory(tmp_path: Path) -> None:
    folder = huggingface_model(tmp_path / "m", "config.json", "m-Q4.gguf", "mmproj-m.gguf")
    assert resolve_model(str(folder)).path == folder / "m-Q4.gguf"


def test_a_split_gguf_is_one_model(tmp_path: Path) -> None:
    folder = huggingface_model(tmp_path / "m", "m-00001-of-00002.gguf", "m-00002-of-00002.gguf")
    assert resolve_model(str(folder)).path.name == "m-00001-of-00002.gguf"


@pytest.mark.parametrize("name", ["model.safetensors", "m.gguf"])
def test_a_link_to_what_is_gone_is_no_model(tmp_path: Path, name: str) -> None:
    """Else `dynamo pull` would say that it is here already."""
    snapshot = cached(tmp_path, "org/m", "config.json")
    (snapshot / name).symlink_to("../../blobs/gone")
    with pytest.raises(ModelMissing, match="run `dynamo pull org/m`"):
        resolve_model("org/m")


@pytest.mark.parametrize("index", ["{", "[]", '{"weight_map": {"a": 3}}', '{"weight_map": []}'])
def test_an_index_that_is_none(tmp_path: Path, index: str) -> None:
    folder = huggingface_model(tmp_path / "m", "config.json", "model-1.safetensors")
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ModelMissing, match="cannot be read as an index of weights"):
        resolve_model(str(folder))


def test_shards_must_all_be_there(tmp_path: Path) -> None:
    folder = huggingface_model(tmp_path / "m", "config.json", "model-1.safetensors")
    shards = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(shards))
    with pytest.raises(ModelMissing, match=r"incomplete: model-2\.safetensors"):
        resolve_model(str(folder))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("./nothing.gguf", "no such file"),
        ("/nowhere/m", "no such file"),
        ("empty", "no model"),
        ("many", r"name one of a\.gguf, b\.gguf"),
        ("text.gguf", "not a GGUF file"),
        ("smollm2", f"did you mean {DEFAULT_MODEL}"),
        ("HuggingFaceTB/SmolLM2-135M-Instuct", f"did you mean {DEFAULT_MODEL}"),
        ("SmolLM2-135M-Instruct", f"did you mean {DEFAULT_MODEL}"),
        (DEFAULT_MODEL, f"run `dynamo pull {DEFAULT_MODEL}`"),
        ("some/other-model", "run `dynamo pull some/other-model`"),
        ("what is this", "nor in the catalogue"),
        ("x" * 5000, "nor in the catalogue"),
    ],
)
def test_what_is_missing_is_said_in_one_line(tmp_path: Path, name: str, says: str) -> None:
    huggingface_model(tmp_path / "empty", "config.json")
    huggingface_model(tmp_path / "many", "a.gguf", "b.gguf")
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(ModelMissing, match=says) as caught:
        resolve_model(name)
    assert "\n" not in str(caught.value)


def test_the_catalogue_file_counts_only_when_whole(tmp_path: Path) -> None:
    model = CATALOGUE[DEFAULT_MODEL]
    path = tmp_path / "elsewhere" / "models" / model.file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"GGUF")
    with pytest.raises(ModelMissing):
        resolve_model(DEFAULT_MODEL, cache=tmp_path / "elsewhere")
    with path.open("r+b") as file:
        file.truncate(model.size)
    found = resolve_model(DEFAULT_MODEL, cache=tmp_path / "elsewhere")
    assert (found.path, found.kind) == (path, "gguf")


def test_the_huggingface_cache(tmp_path: Path) -> None:
    snapshot = cached(tmp_path, "org/model", "config.json", "model.safetensors")
    assert resolve_model("org/model").path == snapshot


def test_a_gguf_in_the_huggingface_cache(tmp_path: Path) -> None:
    snapshot = cached(tmp_path, "org/model", "config.json", "m.gguf")
    found = resolve_model("org/model")
    assert (found.path, found.kind) == (snapshot / "m.gguf", "gguf")


def test_an_unfinished_snapshot(tmp_path: Path) -> None:
    cached(tmp_path, "org/model", "config.json")
    with pytest.raises(ModelMissing, match="run `dynamo pull org/model`"):
        resolve_model("org/model")


def test_cached_models_are_suggested(tmp_path: Path) -> None:
    cached(tmp_path, "org/my-model", "config.json")
    with pytest.raises(ModelMissing, match="did you mean org/my-model"):
        resolve_model("org/mymodel")
