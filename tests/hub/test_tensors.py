from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from dynamo_cli.errors import ModelMissing
from dynamo_cli.hub.gguf import _TYPES, read_head
from dynamo_cli.hub.tensors import Tensor, read_safetensors
from tests.estimate.gguf_models import Model, write
from tests.text.toy_gguf import header


def safetensors(file: Path, entries: dict[str, object]) -> Path:
    text = json.dumps(entries).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text)
    return file


def length(size: int) -> bytes:
    return struct.pack("<Q", size)


def entry(kind: str, shape: list[int], end: int) -> dict[str, object]:
    return {"dtype": kind, "shape": shape, "data_offsets": [0, end]}


def test_all_files_of_a_directory_but_those_that_are_there_twice(tmp_path: Path) -> None:
    safetensors(tmp_path / "model-1.safetensors", {"a": entry("BF16", [2, 3], 12), "__metadata__": {"format": "pt"}})
    safetensors(tmp_path / "model-2.safetensors", {"b": entry("F8_E4M3", [4], 4)})
    safetensors(tmp_path / "consolidated.safetensors", {"a": entry("BF16", [2, 3], 12)})
    assert read_safetensors(tmp_path) == [Tensor("a", "BF16", (2, 3), 12), Tensor("b", "F8_E4M3", (4,), 4)]


@pytest.mark.parametrize("content", [b"", length(0), length(1 << 60), length(2) + b"[]", length(9) + b'{"a": {'])
def test_a_broken_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelMissing, match=r"model\.safetensors: not a usable safetensors file"):
        read_safetensors(tmp_path)


def test_a_shape_that_is_none(tmp_path: Path) -> None:
    safetensors(tmp_path / "model.safetensors", {"a": {"dtype": "F32", "shape": ["x"], "data_offsets": [0, 4]}})
    with pytest.raises(ModelMissing, match="not a usable safetensors file"):
        read_safetensors(tmp_path)


def test_a_header_without_offsets(tmp_path: Path) -> None:
    safetensors(tmp_path / "model.safetensors", {"a": {"dtype": "F32", "shape": [1]}})
    with pytest.raises(ModelMissing, match="not a usable safetensors file"):
        read_safetensors(tmp_path)


def test_the_tensors_of_a_gguf_file(tmp_path: Path) -> None:
    file = write(tmp_path / "m.gguf", Model("llama", layers=1))
    metadata, tensors = read_head(file)
    assert metadata["llama.block_count"] == 1
    assert tensors[0] == Tensor("token_embd.weight", "F16", (32000, 1024), 2 * 32000 * 1024)
    assert abs(sum(tensor.bytes for tensor in tensors) - file.stat().st_size) < 2**20


def test_a_gguf_file_in_parts(tmp_path: Path) -> None:
    for part, name in ((1, "a"), (2, "b")):
        path = tmp_path / f"m-{part:05d}-of-00002.gguf"
        path.write_bytes(header({"general.architecture": "llama"}, [(name, (256,), 12, 0)]))
    _, tensors = read_head(tmp_path / "m-00001-of-00002.gguf")
    assert tensors == [Tensor("a", "Q4_K", (256,), 144), Tensor("b", "Q4_K", (256,), 144)]
    (tmp_path / "m-00002-of-00002.gguf").unlink()
    with pytest.raises(ModelMissing, match=r"m-00002-of-00002\.gguf: cannot be read"):
        read_head(tmp_path / "m-00001-of-00002.gguf")


def test_an_unknown_type_of_tensor(tmp_path: Path) -> None:
    """The file may be sound and newer than we are: nobody is told to fetch it again."""
    (tmp_path / "m.gguf").write_bytes(header({}, [("a", (1,), 999, 0)]))
    with pytest.raises(ModelMissing, match="tensor 'a' is of type 999, whose size is not known") as refused:
        read_head(tmp_path / "m.gguf")
    assert "fetch the model again" not in str(refused.value)


def test_weights_in_nvfp4(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(header({}, [("a", (256,), 40, 0)]))
    assert read_head(tmp_path / "m.gguf")[1] == [Tensor("a", "NVFP4", (256,), 144)]


def test_sizes_of_types_are_those_of_the_gguf_library() -> None:
    gguf = pytest.importorskip("gguf")
    for number, (name, together, size) in _TYPES.items():
        kind = gguf.GGMLQuantizationType(number)
        assert (kind.name, gguf.GGML_QUANT_SIZES[kind]) == (name, (together, size))
