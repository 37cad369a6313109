"""vLLM's share of a GPU, by hand and by properties."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from dynamo_cli.errors import UsageError
from dynamo_cli.estimate.config import shape_of_config
from dynamo_cli.estimate.result import MemoryEstimate, Settings
from dynamo_cli.estimate.shape import ModelShape, Part, ShapeUnknown, Weights
from dynamo_cli.estimate.vllm import vllm_memory
from dynamo_cli.workers.engines.base import MemoryQuestion
from dynamo_cli.workers.engines.registry import SPECS
from tests.estimate import configs

GIB = 2**30
EIGHT_BILLION = Weights(stored=16 * 10**9, split=Part(numbers=8 * 10**9))
LLAMA = shape_of_config(configs.LLAMA_3_1_8B, EIGHT_BILLION)
SIZES = some.integers(16, 192).map(lambda gib: gib * GIB)


def of(shape: ModelShape = LLAMA, **settings: Any) -> MemoryEstimate:
    return vllm_memory(shape, Settings(**{"device": 80 * GIB, "share": 0.9, "context": 8192} | settings))


def test_the_kv_cache_gets_what_is_left() -> None:
    found = of()
    assert found.room == 72 * GIB and found.total == found.room
    assert found.kv_bytes_per_token == 131072
    assert found.weights == pytest.approx(16e9, rel=0.001)
    assert found.kv_tokens == pytest.approx(found.kv_cache / 131072, rel=0.001)


def test_a_given_cache_is_that_large() -> None:
    assert (of(cache=GIB).kv_cache, of(cache=GIB).kv_tokens) == (GIB, 8192)


@pytest.mark.parametrize(("settings", "tokens"), [({"k_bytes": 1}, 16384), ({"number_bytes": 4}, 4096)])
def test_numbers_of_another_size(settings: dict[str, Any], tokens: int) -> None:
    assert of(cache=GIB, context=1024, **settings).kv_tokens == tokens


def test_concurrency_is_bounded_by_the_sequences_of_a_step() -> None:
    assert of(cache=GIB, context=1024).concurrency == 8
    assert of(cache=GIB, context=1024, sequences=3).concurrency == 3


def test_a_window_keeps_less() -> None:
    """By hand: five groups of ten layers each, of which a request of 32,768 tokens holds the window and two steps."""
    gemma = shape_of_config(configs.GEMMA_3_27B, EIGHT_BILLION)
    found = of(gemma, cache=8 * GIB, context=32768, block=16, batch=2048)
    blocks = 8 * GIB // (10 * 16 * 2 * 16 * 128 * 2)
    windowed = (1024 - 1 + 2 * 2048 + 15) // 16 + 1
    assert found.kv_tokens == int(blocks / (32768 // 16 + 6 * windowed) * 32768)
    assert found.kv_tokens > of(gemma, cache=8 * GIB, context=32768, full_windows=True).kv_tokens


def test_what_cannot_fit_leaves_no_cache() -> None:
    found = of(device=16 * GIB)
    assert (found.kv_cache, found.kv_tokens, found.concurrency) == (0, 0, 0.0)


@given(SIZES, some.sampled_from([1, 2, 4]), some.sampled_from([1024, 8192, 131072]))
def test_more_gpus_never_hold_fewer_tokens(device: int, ranks: int, context: int) -> None:
    fewer, more = (of(device=device, ranks=number, context=context) for number in (ranks, 2 * ranks))
    assert more.kv_tokens >= fewer.kv_tokens and more.weights < fewer.weights


@given(SIZES, some.integers(0, 64 * GIB), some.sampled_from([configs.LLAMA_3_1_8B, configs.GEMMA_2_9B]))
def test_a_larger_gpu_never_holds_fewer_tokens(device: int, more: int, config: dict[str, Any]) -> None:
    shape = shape_of_config(config, EIGHT_BILLION)
    assert of(shape, device=device + more).kv_tokens >= of(shape, device=device).kv_tokens


@given(some.integers(16, 10**6), some.integers(1, 4096))
def test_it_never_takes_more_than_its_share(context: int, sequences: int) -> None:
    found = of(context=context, sequences=sequences)
    assert found.total <= found.room and found.kv_tokens * found.kv_bytes_per_token <= found.kv_cache


@given(some.integers(1, 200), some.integers(10**6, 10**11))
def test_more_weights_leave_fewer_tokens(factor: int, numbers: int) -> None:
    light, heavy = (
        msgspec.structs.replace(LLAMA, weights=Weights(stored=0, split=Part(numbers=number)))
        for number in (numbers, numbers * factor)
    )
    assert of(heavy).kv_tokens <= of(light).kv_tokens


# What its arguments say


def asked(*args: str, device: int = 80 * GIB) -> MemoryEstimate:
    found = SPECS["vllm"].memory(MemoryQuestion(LLAMA, args, device=device))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("args", "context"),
    [
        ((), 131072),
        (("--max-model-len", "4096"), 4096),
        (("--max-model-len=4k",), 4000),
        (("--max_model_len", "4K"), 4096),
        (("--max-model-len", "auto"), 131072),
    ],
)
def test_the_context_as_vllm_reads_it(args: tuple[str, ...], context: int) -> None:
    assert asked(*args).context == context


def test_other_arguments_that_count() -> None:
    plain = asked()
    assert asked("--gpu-memory-utilization", "0.5").room == 40 * GIB
    assert asked("--kv-cache-dtype", "fp8").kv_bytes_per_token == 65536
    assert asked("--dtype", "float32").weights == pytest.approx(2 * plain.weights, rel=0.001)
    assert asked("--enforce-eager").overhead < plain.overhead
    assert asked("--max-num-seqs", "7").sequences == 7
    assert asked("-tp", "2").kv_bytes_per_token == 65536
    assert asked("--served-model-name", "a", "b", "--max-model-len", "9").context == 9


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--max-model-len", "-5"),
        ("--max-model-len", "1e400k"),
        ("-tp", "0"),
        ("--gpu-memory-utilization", "nan"),
        ("--gpu-memory-utilization", "0"),
        ("--gpu-memory-utilization", "2"),
    ],
)
def test_a_number_that_cannot_be_is_refused(flag: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"engine vllm: {flag} needs a number"):
        asked(flag, value)


def test_on_a_cpu_the_cache_is_two_gib_unless_somebody_says() -> None:
    assert asked("--max-model-len", "64", device=0).kv_cache == 2 * GIB
    assert asked("--kv-cache-memory-bytes", "3G", device=0).kv_cache == 3 * GIB


@pytest.mark.parametrize(
    "args", [("--quantization", "fp8"), ("-pp", "2"), ("--cpu-offload-gb=4",), ("--kv-cache-dtype", "turbo")]
)
def test_what_is_not_estimated_is_said(args: tuple[str, ...]) -> None:
    with pytest.raises(ShapeUnknown, match="estimated"):
        asked(*args)
