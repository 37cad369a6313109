"""llama.cpp's buffers by properties; tests/workers/engines/test_llamacpp_memory.py compares them with the real ones."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from dynamo_cli.errors import ModelMissing
from dynamo_cli.estimate.gguf import shape_of_gguf
from dynamo_cli.estimate.llamacpp import llamacpp_memory
from dynamo_cli.estimate.read import read_shape, shape_or_reason
from dynamo_cli.estimate.result import MemoryEstimate, Settings
from dynamo_cli.estimate.shape import Attention, ModelShape, ShapeUnknown
from dynamo_cli.hub.gguf import read_head
from dynamo_cli.hub.resolve import resolve_model
from dynamo_cli.workers.engines.base import MemoryQuestion
from dynamo_cli.workers.engines.registry import SPECS
from tests.estimate.gguf_models import Model, write
from tests.text.toy_gguf import write_gguf


@pytest.fixture(scope="module")
def shape(tmp_path_factory: pytest.TempPathFactory) -> ModelShape:
    file = write(tmp_path_factory.mktemp("gguf") / "m.gguf", Model("gemma3", layers=12, window=512, tied=True))
    return shape_of_gguf(*read_head(file))


def of(shape: ModelShape, **settings: Any) -> MemoryEstimate:
    return llamacpp_memory(shape, Settings(**{"sequences": 4, "batch": 64, "k_bytes": 2, "v_bytes": 2} | settings))


def test_what_a_file_tells(shape: ModelShape) -> None:
    wide, narrow = 2 * 64, 4
    assert shape.attention == (
        Attention(layers=10, heads=narrow, values=wide, window=512),
        Attention(layers=2, heads=narrow, values=wide),
    )
    assert (shape.context, shape.layers, shape.vocabulary, shape.width) == (8192, 12, 32000, 1024)


def test_windows_hold_a_step_more_and_no_more(shape: ModelShape) -> None:
    cell = 2 * 4 * 64 * 2
    assert of(shape, context=8192).kv_cache == 4 * cell * (2 * 8192 + 10 * 768)
    assert of(shape, context=8192, full_windows=True).kv_cache == 4 * cell * 12 * 8192
    assert of(shape, context=256).kv_cache == 4 * cell * 12 * 256


def test_one_cache_of_all_has_their_context_once(shape: ModelShape) -> None:
    found = of(shape, context=8192, unified=True)
    assert (found.kv_tokens, found.concurrency) == (8192, 1.0)


@given(context=some.integers(1, 10**5), sequences=some.integers(1, 64), batch=some.sampled_from([16, 64, 512]))
def test_more_of_anything_never_needs_less(shape: ModelShape, context: int, sequences: int, batch: int) -> None:
    found = of(shape, context=context, sequences=sequences, batch=batch)
    assert of(shape, context=context + 256, sequences=sequences, batch=batch).total >= found.total
    assert of(shape, context=context, sequences=sequences + 1, batch=batch).total >= found.total
    assert of(shape, context=context, sequences=sequences, batch=2 * batch).total >= found.total
    assert found.kv_tokens >= context * sequences


def test_the_settings_of_our_worker(shape: ModelShape) -> None:
    found = SPECS["llamacpp"].memory(MemoryQuestion(shape, ("-ctk", "q8_0"), {"parallel": 3, "max_model_len": 1000}))
    assert found is not None
    assert (found.sequences, found.context, found.kv_tokens) == (3, 1024, 3072)
    assert found.kv_bytes_per_token == 12 * 4 * 64 * 2 * (2 + 34 / 32) / 2


def test_a_file_that_cannot_be_estimated_says_why(tmp_path: Path) -> None:
    metadata = {"general.architecture": "mamba", "mamba.ssm.state_size": 16}
    with pytest.raises(ShapeUnknown, match="mamba has layers that keep a state"):
        read_shape(resolve_model(str(write_gguf(tmp_path / "m.gguf", metadata))))
    with pytest.raises(ShapeUnknown, match=r"its llama\.embedding_length is missing"):
        shape_of_gguf({"general.architecture": "llama", "llama.attention.head_count": 4, "llama.block_count": 2}, [])


@pytest.mark.parametrize("key", ["head_count", "head_count_kv", "sliding_window_pattern"])
def test_a_file_that_tells_too_little_of_its_layers_says_so(tmp_path: Path, key: str) -> None:
    metadata = {
        "general.architecture": "llama",
        "llama.block_count": 2,
        "llama.embedding_length": 64,
        "llama.attention.head_count": 4,
        "llama.attention.sliding_window": 128,
        f"llama.attention.{key}": [1],
    }
    with pytest.raises(ShapeUnknown, match=rf"its llama\.attention\.{key} has 1 values for 2 layers"):
        read_shape(resolve_model(str(write_gguf(tmp_path / "m.gguf", metadata))))


def test_a_file_that_claims_too_many_layers() -> None:
    with pytest.raises(ShapeUnknown, match="it claims 4000000000 layers"):
        shape_of_gguf({"general.architecture": "llama", "llama.block_count": 4_000_000_000}, [])


def test_infinity_in_a_config_is_what_python_writes(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "falcon_h1", "time_step_limit": [0.0, Infinity]}')
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    assert "falcon_h1 has layers that keep a state" in str(shape_or_reason(resolve_model(str(tmp_path))))


def test_a_directory_whose_files_are_broken(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[]")
    (tmp_path / "model.safetensors").write_bytes(b"\x09")
    files = resolve_model(str(tmp_path))
    assert "is no JSON object" in str(shape_or_reason(files))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelMissing, match="not a usable safetensors file"):
        read_shape(files)
