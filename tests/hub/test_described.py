from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_cli.errors import ModelMissing
from dynamo_cli.hub.described import Description, describe, recall
from tests.hub.server import hub_server

CONFIG = b'{"model_type": "llama"}'


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "dynamo/described"


def ask(monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes], name: str = "org/model") -> Description:
    with hub_server(files) as url:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        return describe(name)


def test_what_the_hub_tells_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"org/model/config.json": CONFIG, "org/model/a.safetensors": b"12", "org/model/b.safetensors": b"345"}
    told = ask(monkeypatch, files)
    assert (told.config, told.numbers, told.bytes) == ({"model_type": "llama"}, {}, 5)
    assert recall("org/model") == told
    assert recall("org/other") is None


def test_numbers_of_each_kind_are_tensors() -> None:
    told = Description({}, {"BF16": 10, "F8_E4M3": 6, "I32": 2}, 999)
    assert [(each.kind, each.numbers, each.bytes) for each in told.tensors] == [
        ("BF16", 10, 20),
        ("F8_E4M3", 6, 6),
        ("I32", 2, 8),
    ]
    assert [(each.numbers, each.bytes) for each in Description({}, {}, 999).tensors] == [(999, 999)]


@pytest.mark.parametrize("files", [{"org/model/x.gguf": b"1"}, {"org/model/a.safetensors": b"1"}])
def test_a_repository_that_tells_nothing_of_its_layers(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]
) -> None:
    with pytest.raises(ModelMissing, match="the hub tells nothing of its layers; `dynamo pull org/model` fetches it"):
        ask(monkeypatch, files)


def test_an_unknown_repository_and_a_broken_memory(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    with pytest.raises(ModelMissing, match="model org/nobody: Hugging Face does not tell: "):
        ask(monkeypatch, {"org/model/config.json": CONFIG}, "org/nobody")
    cache.mkdir(parents=True)
    (cache / "org--model.json").write_text("{")
    assert recall("org/model") is None
