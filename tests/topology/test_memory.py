"""What plan says of memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dynamo_cli.errors import ResourceMissing
from dynamo_cli.estimate.config import shape_of_config
from dynamo_cli.estimate.result import MemoryEstimate
from dynamo_cli.estimate.shape import ModelShape, Part, Weights
from dynamo_cli.topology.process import Plan, PoolMemory
from dynamo_cli.topology.render import memory_lines
from tests.estimate import configs
from tests.topology.machines import GIB, gpu, machine, plan

MODEL = "org/model"


def shape(billions: float = 8.0, config: dict[str, Any] = configs.LLAMA_3_1_8B) -> ModelShape:
    numbers = int(billions * 10**9)
    return shape_of_config(config, Weights(stored=2 * numbers, split=Part(numbers=numbers)))


def pool(engine: str = "vllm", **keys: Any) -> str:
    lines = [f"{key} = {value}" for key, value in keys.items()]
    return "\n".join([f'model = "{MODEL}"', "[workers.decode]", f'engine = "{engine}"', *lines, ""])


def planned(
    folder: Path, text: str, known: ModelShape | str, gpus: int = 0, memory: int = 0, model: str = MODEL
) -> Plan:
    here = machine(*map(gpu, range(gpus)), shapes={model: known}, main_memory=memory)
    return plan(folder, text, here)


def memory(made: Plan) -> tuple[PoolMemory, MemoryEstimate]:
    (found,) = made.memory
    assert found.estimate is not None
    return found, found.estimate


def test_each_gpu_of_a_worker(tmp_path: Path) -> None:
    args = '["--max-model-len", "8192", "--gpu-memory-utilization", "0.9"]'
    made = planned(tmp_path, pool(args=args, tensor_parallel=2, replicas=2), shape(), gpus=4)
    found, estimate = memory(made)
    assert (found.place, found.gpus, found.workers, found.device) == ("GPU", 2, 2, 80 * GIB)
    assert estimate.weights == pytest.approx(8e9, rel=0.001)
    assert (estimate.total, estimate.kv_bytes_per_token, estimate.context) == (72 * GIB, 65536, 8192)
    assert made.warnings == ()


def test_the_table(tmp_path: Path) -> None:
    args = '["--max-model-len", "8192", "--kv-cache-memory-bytes", "8G", "--max-num-batched-tokens", "1"]'
    lines = memory_lines(planned(tmp_path, pool(args=args), shape(), gpus=1))
    assert lines[0].split("  ")[0] == "MEMORY" and len(lines) == 2
    columns = [cell.strip() for cell in lines[1].split("  ") if cell]
    assert columns[:4] == ["decode", "GPU", "14.9 GiB", "8.0 GiB"]
    assert columns[5:] == ["80.0 GiB", "128.0 KiB", "65,536", "8.0 of 8,192 tokens"]


def test_weights_that_cannot_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ResourceMissing) as refused:
        planned(tmp_path, pool(args='["--max-model-len", "8192"]'), shape(70.6, configs.LLAMA_3_1_70B), gpus=1)
    assert str(refused.value) == (
        "pool decode: org/model has 131.5 GiB of weights on one GPU of 80.0 GiB: it cannot fit; "
        "set workers.decode.tensor_parallel = 2, or take the model in a smaller quantisation"
    )


def test_a_context_that_does_not_fit_is_warned_of(tmp_path: Path) -> None:
    made = planned(tmp_path, pool(tensor_parallel=2), shape(70.6, configs.LLAMA_3_1_70B), gpus=2)
    (warning,) = made.warnings
    assert "pool decode: org/model: 65.8 GiB of weights and " in warning
    assert " on each of 2 GPUs of 80.0 GiB leave room for " in warning
    assert ", and one request may have 131,072: vllm will not start; " in warning
    assert "set workers.decode.tensor_parallel = 4, or workers.decode.args = " in warning


def test_no_room_at_all(tmp_path: Path) -> None:
    (warning,) = planned(tmp_path, pool(), shape(40), gpus=1).warnings
    assert "leave no room for KV" in warning and "--max-model-len" not in warning


def test_main_memory_of_all_pools_together(tmp_path: Path) -> None:
    text = pool("llamacpp", options="{ max_model_len = 8192 }", replicas=2)
    known = shape(8)
    found, estimate = memory(planned(tmp_path, text, known, memory=64 * GIB))
    assert (found.place, found.device, found.gpus) == ("RAM", 0, 0)
    need = estimate.weights + 2 * (estimate.kv_cache + estimate.overhead)
    assert planned(tmp_path, text, known, memory=need).warnings == ()
    (warning,) = planned(tmp_path, text, known, memory=need - 1).warnings
    assert warning.startswith("pool decode: 24.1 GiB of memory will be needed, 24.1 GiB are available; fewer ")
    assert planned(tmp_path, text, known, memory=0).warnings == ()


@pytest.mark.parametrize(
    ("known", "args", "says"),
    [
        ("it is a riddle", "[]", "it is a riddle"),
        (shape(), '["-pp", "2"]', "-pp changes it in a way that is not estimated"),
        (shape(), '["--max-model-len", "many"]', "engine vllm: --max-model-len needs a number, not 'many'"),
    ],
)
def test_what_is_not_known_is_a_line(tmp_path: Path, known: ModelShape | str, args: str, says: str) -> None:
    made = planned(tmp_path, pool(args=args), known, gpus=1)
    assert memory_lines(made) == [f"memory of decode is not known: {says}"]
    assert made.warnings == ()


def test_engines_without_weights_are_left_out(tmp_path: Path) -> None:
    assert planned(tmp_path, pool("mock"), shape()).memory == ()
