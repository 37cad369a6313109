"""config.json of known models against numbers that were computed by hand."""

from __future__ import annotations

from typing import Any

import pytest

from dynamo_cli.estimate.config import shape_of_config
from dynamo_cli.estimate.shape import ModelShape, ShapeUnknown, Weights
from dynamo_cli.estimate.weights import divided
from dynamo_cli.hub.tensors import Tensor
from tests.estimate import configs, hf_models
from tests.estimate.gguf_models import Model

NOTHING = Weights(stored=0)
KV = [
    (configs.LLAMA_3_1_8B, 2 * 32 * 8 * 128, 131072),
    (configs.LLAMA_3_1_70B, 2 * 80 * 8 * 128, 131072),
    (configs.QWEN_2_5_7B, 2 * 28 * 4 * 128, 32768),
    (configs.QWEN_3_30B_A3B, 2 * 48 * 4 * 128, 40960),
    (configs.DEEPSEEK_V3, 61 * (512 + 64), 40 * 4096),
    (configs.MIXTRAL_8X7B, 2 * 32 * 8 * 128, 32768),
    (configs.GEMMA_2_9B, 2 * 42 * 8 * 256, 8192),
    (configs.GEMMA_3_27B, 2 * 62 * 16 * 128, 8 * 131072),
    (configs.GPT_OSS_20B, 2 * 24 * 8 * 64, 131072),
    (configs.FALCON_7B, 2 * 32 * 1 * 64, 0),
    (configs.GPT_2, 2 * 12 * 12 * 64, 1024),
]


def shape(config: dict[str, Any]) -> ModelShape:
    return shape_of_config(config, NOTHING)


@pytest.mark.parametrize(("config", "numbers", "context"), KV, ids=[each[0]["model_type"] for each in KV])
def test_what_a_token_keeps_and_how_many_there_may_be(config: dict[str, Any], numbers: int, context: int) -> None:
    assert (shape(config).kv_numbers(), shape(config).context) == (numbers, context)


def test_llama_keeps_128_kib_a_token() -> None:
    assert shape(configs.LLAMA_3_1_8B).kv_numbers() * 2 == 131072


@pytest.mark.parametrize(
    ("config", "layers"),
    [
        (configs.LLAMA_3_1_8B, {0: 32}),
        (configs.QWEN_2_5_7B, {0: 28}),
        (configs.QWEN_2_5_7B | {"use_sliding_window": True, "max_window_layers": 21}, {0: 21, 131072: 7}),
        (configs.GEMMA_2_9B, {4096: 21, 0: 21}),
        (configs.GEMMA_3_27B, {1024: 52, 0: 10}),
        (configs.GPT_OSS_20B, {128: 12, 0: 12}),
        (configs.MISTRAL_7B, {4096: 32}),
        (configs.MIXTRAL_8X7B, {0: 32}),
    ],
    ids=lambda value: value.get("model_type", "layers"),
)
def test_layers_that_look_back_over_a_window(config: dict[str, Any], layers: dict[int, int]) -> None:
    assert {each.window: each.layers for each in shape(config).attention} == layers


def test_a_pattern_of_letters_says_which_layers_see_all() -> None:
    config = configs.MISTRAL_7B | {"sliding_window_pattern": "LLLG"}
    assert {each.window: each.layers for each in shape(config).attention} == {4096: 24, 0: 8}


def test_null_is_as_good_as_nothing() -> None:
    config = configs.DEEPSEEK_V3 | {"text_config": None}
    assert shape(config) == shape(configs.DEEPSEEK_V3)
    rope = {"type": "yarn", "factor": "4.0", "original_max_position_embeddings": None}
    assert shape(configs.QWEN_2_5_7B | {"rope_scaling": rope}).context == 4 * 32768


def test_layers_that_share_their_kv_keep_none() -> None:
    config = configs.GPT_OSS_20B | {"num_kv_shared_layers": 4}
    assert {each.window: each.layers for each in shape(config).attention} == {128: 10, 0: 10}


def test_heads_of_layers_that_see_all_may_be_others() -> None:
    config = configs.GPT_OSS_20B | {"global_head_dim": 128, "num_global_key_value_heads": 2}
    assert shape(config).kv_numbers() == 12 * 2 * 8 * 64 + 12 * 2 * 2 * 128


def test_layers_of_linear_attention_keep_nothing_for_a_token() -> None:
    kinds = ["linear_attention", "linear_attention", "linear_attention", "full_attention"] * 8
    config = configs.LLAMA_3_1_8B | {"layer_types": kinds}
    assert shape(config).kv_numbers() == 2 * 8 * 8 * 128


@pytest.mark.parametrize(
    ("config", "ranks", "numbers"),
    [
        (configs.LLAMA_3_1_8B, 4, 2 * 32 * 2 * 128),
        (configs.LLAMA_3_1_8B, 16, 2 * 32 * 1 * 128),  # there is one head on each at least
        (configs.DEEPSEEK_V3, 8, 61 * 576),  # one vector for all heads
    ],
)
def test_tensor_parallelism_divides_the_heads(config: dict[str, Any], ranks: int, numbers: int) -> None:
    assert shape(config).kv_numbers(ranks) == numbers


def test_ranks_that_divide_the_heads() -> None:
    assert [ranks for ranks in (1, 2, 4, 8, 16) if shape(configs.LLAMA_3_1_8B).divides(ranks)] == [1, 2, 4, 8]
    assert [ranks for ranks in (1, 2, 4, 8) if shape(configs.QWEN_2_5_7B).divides(ranks)] == [1, 2, 4]
    assert [ranks for ranks in (1, 2, 4, 8) if shape(configs.FALCON_7B).divides(ranks)] == [1]
    assert shape(configs.DEEPSEEK_V3).divides(8)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"num_hidden_layers": None}, "it has no num_hidden_layers"),
        ({"num_attention_heads": "32"}, "num_attention_heads of its config.json is '32'"),
        ({"hidden_size": -1}, "hidden_size of its config.json is -1"),
        ({"num_key_value_heads": [8, 4]}, r"num_key_value_heads of its config.json is \[8, 4\]"),
        ({"model_type": "mamba2"}, "mamba2 has layers that keep a state"),
        ({"text_config": [1]}, "its config.json is not understood"),
        ({"rope_scaling": "linear"}, "its config.json is not understood"),
        ({"layer_types": [None] * 32}, "its config.json is not understood"),
        ({"num_hidden_layers": 10**12}, "it claims 1000000000000 layers"),
    ],
)
def test_what_cannot_be_estimated_says_why(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ShapeUnknown, match=says):
        shape(configs.LLAMA_3_1_8B | change)


# Weights


LLAMA_8B = Model("llama", layers=32, width=4096, heads=32, kv_heads=8, head=128, feed_forward=14336, vocabulary=128256)


def tensors(model: Model, kind: str = "BF16", size: float = 2) -> list[Tensor]:
    found = [Tensor(name, kind, shape, 0) for name, shape in hf_models._tensors(model)]
    return [tensor._replace(bytes=int(tensor.numbers * size)) for tensor in found]


def test_llama_has_eight_billion_weights() -> None:
    weights = divided(tensors(LLAMA_8B))
    assert weights.numbers == 8_030_261_248
    assert weights.stored == weights.of_rank(2, 1, 8) == 2 * 8_030_261_248
    assert weights.of_rank(4, 1, 8) == 4 * 8_030_261_248


def test_each_gpu_has_its_share_and_the_norms() -> None:
    weights = divided(tensors(LLAMA_8B))
    norms = (2 * 32 + 1) * 4096 * 2
    assert weights.of_rank(2, 8, 8) == (weights.stored - norms) // 8 + norms
    kv = 2 * 32 * 4096 * 1024 * 2
    assert weights.of_rank(2, 16, 8) == (weights.stored - norms - kv) // 16 + kv // 8 + norms


def test_packed_weights_stay_as_they_are() -> None:
    assert divided(tensors(LLAMA_8B, "F8_E4M3", 1)).of_rank(4, 1, 8) == 8_030_261_248


def test_routers_and_compressing_halves_are_on_each_gpu() -> None:
    names = ["mlp.gate.weight", "self_attn.kv_a_proj_with_mqa.weight", "mlp.gate_proj.weight"]
    weights = divided([Tensor(f"model.layers.0.{name}", "BF16", (8, 4), 64) for name in names])
    assert (weights.whole.numbers, weights.split.numbers) == (64, 32)
