from __future__ import annotations

import os

import pytest

from dynamo_cli.errors import UsageError
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.llamacpp.flags import _TABLE, parse_flags
from dynamo_cli.workers.engines.llamacpp.settings import CPU_BATCH_PER_THREAD, MOST_CPU_BATCH, settings
from dynamo_cli.workers.engines.llamacpp.spec import LlamaCppOptions


def launch(*args: str, context_length: int = 0, **options: int) -> EngineLaunch:
    return EngineLaunch(
        model_name="m",
        args=args,
        options=LlamaCppOptions(**options),
        context_length=context_length,  # type: ignore[arg-type]
    )


def test_flags_become_fields() -> None:
    args = "-c 4096 --parallel=2 -t 3 -ngl -1 -fa on -ctk q8_0 --no-mmap --rope-freq-base 1e6 --kv-unified".split()
    assert parse_flags(args) == {
        "n_ctx": 4096,
        "n_parallel": 2,
        "cpuparams.n_threads": 3,
        "n_gpu_layers": -1,
        "flash_attn_type": "enum:llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED",
        "cache_type_k": "enum:ggml_type.GGML_TYPE_Q8_0",
        "load_mode": "enum:llama_load_mode.LLAMA_LOAD_MODE_NONE",
        "rope_freq_base": 1e6,
        "kv_unified": True,
    }


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["--ctx-sice", "1"], "did you mean --ctx-size"),
        (["-c"], "-c needs a value"),
        (["-c", "many"], "needs a number"),
        (["--kv-unified", "yes"], "takes no value"),
        (["-fa", "maybe"], "use on, off, auto"),
        (["-np", "0"], "-np needs a number of at least 1, not 0"),
        (["-c", "-1"], "-c needs a number of at least 0, not -1"),
        (["--max-model-len=-5"], "--max-model-len needs a number of at least 0, not -5"),
        (["stray"], "unexpected engine argument 'stray'"),
    ],
)
def test_wrong_flags_are_one_clear_line(args: list[str], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        parse_flags(args)


def test_every_field_exists_in_the_wheel() -> None:
    xllamacpp = pytest.importorskip("xllamacpp")
    params = xllamacpp.CommonParams()
    for flag, (field, _) in _TABLE.items():
        target = params
        for part in field.split("."):
            assert part == "max_model_len" or hasattr(target, part), flag
            target = getattr(target, part, None)


def test_the_context_of_each_sequence_is_what_was_asked_for() -> None:
    assert settings(launch("--max-model-len", "1000", parallel=3))["n_ctx"] == 3000
    assert settings(launch("--max-model-len", "1000", "-np", "5"))["n_ctx"] == 5000
    assert settings(launch("--max-model-len", "1000", "--kv-unified"))["n_ctx"] == 1000
    assert settings(launch("-c", "1000"))["n_ctx"] == 1000
    assert settings(launch(context_length=2048, parallel=1))["n_ctx"] == 2048
    assert settings(launch(context_length=131072, parallel=1))["n_ctx"] == 8192
    assert settings(launch(parallel=1, max_model_len=700))["n_ctx"] == 700


def test_a_longer_context_needs_rope_scaling() -> None:
    with pytest.raises(UsageError, match="more than the 2048 tokens"):
        settings(launch("--max-model-len", "4096", context_length=2048))
    stretched = settings(launch("--max-model-len", "4096", "--rope-scaling", "yarn", "-np", "1", context_length=2048))
    assert stretched["n_ctx"] == 4096


def test_one_core_is_left_free(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = len(os.sched_getaffinity(0))
    assert settings(launch())["cpuparams.n_threads"] == max(1, cores - 1)
    monkeypatch.setenv("DYN_LLAMACPP_THREADS", "7")
    assert settings(launch())["cpuparams.n_threads"] == 7
    assert settings(launch(threads=2))["cpuparams.n_threads"] == 2
    both = settings(launch("-t", "4"))
    assert both["cpuparams.n_threads"] == both["cpuparams_batch.n_threads"] == 4
    monkeypatch.setenv("DYN_LLAMACPP_THREADS", "none")
    with pytest.raises(UsageError, match="DYN_LLAMACPP_THREADS"):
        settings(launch())


def test_batches_stay_small_on_a_cpu() -> None:
    one_thread = settings(launch("--threads", "1"))
    assert one_thread["n_batch"] == one_thread["n_ubatch"] == CPU_BATCH_PER_THREAD
    assert settings(launch("--threads", "4"))["n_batch"] == 4 * CPU_BATCH_PER_THREAD
    assert settings(launch("--threads", "1", "--parallel", "40"))["n_batch"] == 40
    assert settings(launch("--threads", "100"))["n_batch"] == MOST_CPU_BATCH
    assert settings(launch("-b", "1024"))["n_ubatch"] == 512
    assert "n_batch" not in settings(launch("-ngl", "99"))
