"""GGUF models in Hugging Face's layout: every weight at its place, whatever is wrong said in one line."""

from __future__ import annotations

import json
import os
import struct
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
from gguf import GGMLQuantizationType, GGUFWriter, quantize

from dynamo_cli.errors import ModelMissing, ResourceMissing
from dynamo_cli.hub.convert import convert_gguf

HIDDEN, HEADS, KV_HEADS, HEAD, FFN, VOCABULARY = 64, 4, 2, 16, 96, 8
Array = Any


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    folder = tmp_path / "text"
    folder.mkdir()
    added = [{"id": 1, "content": "<s>"}, {"id": 2, "content": "</s>"}]
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": added}))
    (folder / "chat_template.jinja").write_text("{{ messages }} \u2602")
    return folder


def some_weights(tied: bool = True) -> dict[str, Array]:
    rng = numpy.random.default_rng(0)
    shapes = {
        "token_embd": (VOCABULARY, HIDDEN),
        "output_norm": (HIDDEN,),
        "blk.0.attn_norm": (HIDDEN,),
        "blk.0.attn_q": (HEADS * HEAD, HIDDEN),
        "blk.0.attn_k": (KV_HEADS * HEAD, HIDDEN),
        "blk.0.attn_v": (KV_HEADS * HEAD, HIDDEN),
        "blk.0.attn_output": (HIDDEN, HEADS * HEAD),
        "blk.0.ffn_norm": (HIDDEN,),
        "blk.0.ffn_gate": (FFN, HIDDEN),
        "blk.0.ffn_up": (FFN, HIDDEN),
        "blk.0.ffn_down": (HIDDEN, FFN),
    } | ({} if tied else {"output": (VOCABULARY, HIDDEN)})
    return {f"{name}.weight": rng.standard_normal(shape, dtype=numpy.float32) for name, shape in shapes.items()}


def write_gguf(file: Path, weights: dict[str, Array], architecture: str = "llama", **more: Any) -> Path:
    writer = GGUFWriter(file, architecture)
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_token_list([f"t{n}" for n in range(VOCABULARY)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for key, value in more.items():
        getattr(writer, key)(value)
    for name, values in weights.items():
        if name.startswith("blk.0.ffn"):
            kind = GGMLQuantizationType.Q8_0 if values.ndim == 2 else GGMLQuantizationType.F32
            writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def read_safetensors(file: Path) -> dict[str, Array]:
    """By the format's own description, as float32."""
    data = file.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header, found = json.loads(data[8 : 8 + size]), {}
    assert header.pop("__metadata__") == {"format": "pt"}
    end = 0
    for name, told in header.items():
        assert told["dtype"] == "BF16"
        begin, expected = told["data_offsets"][0], end
        assert begin == expected
        end = told["data_offsets"][1]
        bits = numpy.frombuffer(data[8 + size + begin : 8 + size + end], dtype=numpy.uint16).astype(numpy.uint32) << 16
        found[name] = bits.view(numpy.float32).reshape(told["shape"])
    assert len(data) == 8 + size + end
    return found


def rotated(rows: Array, heads: int) -> Array:
    """What llama.cpp's own converter does to the rows of q and k."""
    return rows.reshape(heads, 2, HEAD // 2, HIDDEN).swapaxes(1, 2).reshape(rows.shape)


@pytest.mark.parametrize("tied", [True, False])
def test_every_weight_arrives(tmp_path: Path, text: Path, tied: bool) -> None:
    original = some_weights(tied)
    stored = dict(original)
    for name, heads in (("blk.0.attn_q.weight", HEADS), ("blk.0.attn_k.weight", KV_HEADS)):
        stored[name] = rotated(original[name], heads)
    folder = convert_gguf(write_gguf(tmp_path / "tiny.gguf", stored), text)
    found = read_safetensors(folder / "model.safetensors")
    layer = "model.layers.0."
    places = {
        "model.embed_tokens.weight": "token_embd",
        "model.norm.weight": "output_norm",
        f"{layer}input_layernorm.weight": "blk.0.attn_norm",
        f"{layer}self_attn.q_proj.weight": "blk.0.attn_q",
        f"{layer}self_attn.k_proj.weight": "blk.0.attn_k",
        f"{layer}self_attn.v_proj.weight": "blk.0.attn_v",
        f"{layer}self_attn.o_proj.weight": "blk.0.attn_output",
        f"{layer}post_attention_layernorm.weight": "blk.0.ffn_norm",
        f"{layer}mlp.gate_proj.weight": "blk.0.ffn_gate",
        f"{layer}mlp.up_proj.weight": "blk.0.ffn_up",
        f"{layer}mlp.down_proj.weight": "blk.0.ffn_down",
    } | ({} if tied else {"lm_head.weight": "output"})
    assert found.keys() == places.keys()
    for name, place in places.items():
        near = 0.02 if "ffn_" in place and "norm" not in place else 0.004  # 8-bit blocks, and bfloat16 alone
        error = numpy.abs(found[name] - original[f"{place}.weight"])
        assert (error <= near * numpy.abs(original[f"{place}.weight"]).max()).all(), name


def test_the_directory_says_what_the_file_said(tmp_path: Path, text: Path) -> None:
    folder = convert_gguf(write_gguf(tmp_path / "tiny.gguf", some_weights()), text)
    config = json.loads((folder / "config.json").read_bytes())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert (config["hidden_size"], config["num_hidden_layers"], config["head_dim"]) == (HIDDEN, 1, HEAD)
    assert (config["num_attention_heads"], config["num_key_value_heads"]) == (HEADS, KV_HEADS)
    assert (config["max_position_embeddings"], config["vocab_size"]) == (128, VOCABULARY)
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 10_000.0
    assert config["tie_word_embeddings"] is True
    tokenizer = json.loads((folder / "tokenizer_config.json").read_bytes())
    assert (tokenizer["bos_token"], tokenizer["eos_token"]) == ("<s>", "</s>")
    assert tokenizer["chat_template"] == (text / "chat_template.jinja").read_text()
    assert (folder / "tokenizer.json").read_bytes() == (text / "tokenizer.json").read_bytes()


def test_it_is_made_once_and_anew_when_the_file_changes(tmp_path: Path, text: Path, cache: Path) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", some_weights())
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(convert_gguf(file, text))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    before = (found[0] / "model.safetensors").stat()
    assert convert_gguf(file, text) == found[0]
    assert (found[0] / "model.safetensors").stat() == before
    os.utime(file, ns=(1, 1))
    assert convert_gguf(file, text) != found[0]
    assert not [one for one in (cache / "dynamo" / "converted").iterdir() if ".tmp-" in one.name]


REFUSED = [
    ({"architecture": "qwen2"}, "only GGUF files of the llama family can be converted, and this is qwen2"),
    ({"add_expert_count": 8}, "mixture of experts"),
    ({"add_rope_scaling_type": "yarn"}, "rotary embedding is scaled"),
]


@pytest.mark.parametrize(("more", "words"), REFUSED)
def test_what_cannot_be_converted_exactly_is_refused(
    tmp_path: Path, text: Path, cache: Path, more: dict[str, Any], words: str
) -> None:
    if "add_rope_scaling_type" in more:
        from gguf import RopeScalingType

        more = {"add_rope_scaling_type": RopeScalingType.YARN}
    file = write_gguf(tmp_path / "tiny.gguf", some_weights(), **more)
    with pytest.raises(ModelMissing, match=words) as raised:
        convert_gguf(file, text)
    assert "\n" not in str(raised.value) and str(file) in str(raised.value)
    assert not list((cache / "dynamo" / "converted").glob("[!.]*"))


def test_an_unknown_tensor_is_refused(tmp_path: Path, text: Path) -> None:
    weights = some_weights() | {"blk.0.attn_q_norm.weight": numpy.ones(HEAD, dtype=numpy.float32)}
    with pytest.raises(ModelMissing, match=r"a tensor blk\.0\.attn_q_norm\.weight"):
        convert_gguf(write_gguf(tmp_path / "tiny.gguf", weights), text)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"no such thing" * 100])
def test_a_broken_file_is_one_line(tmp_path: Path, text: Path, content: bytes) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(content)
    with pytest.raises(ModelMissing, match="not a usable GGUF file") as raised:
        convert_gguf(file, text)
    assert "\n" not in str(raised.value)


def test_a_full_disk_leaves_nothing(tmp_path: Path, text: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", some_weights())
    monkeypatch.setattr("dynamo_cli.hub.paths.shutil.disk_usage", lambda _: SimpleNamespace(free=1))
    with pytest.raises(ResourceMissing, match=r"needs .* MB, 0 MB are free"):
        convert_gguf(file, text)
    assert not [one for one in (cache / "dynamo" / "converted").iterdir() if not one.name.endswith(".lock")]
