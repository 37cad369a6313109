"""What each pool of a plan will hold, and the lines about what will not fit. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from dynamo_cli.errors import ResourceMissing, UsageError
from dynamo_cli.estimate.result import MemoryEstimate
from dynamo_cli.estimate.shape import ModelShape, ShapeUnknown
from dynamo_cli.gpus.usable import memory_words
from dynamo_cli.topology.parts import Pool
from dynamo_cli.topology.process import GpuAssignment, PoolMemory
from dynamo_cli.workers.engines.base import EngineSpec, MemoryQuestion


def pool_memory(
    pool: Pool, spec: EngineSpec, model: str, gpus: Sequence[GpuAssignment], known: Mapping[str, ModelShape | str]
) -> PoolMemory | None:
    """`gpus` of all its replicas. `known`: of each model its shape, or why there is none. None of an engine that holds
    no model."""
    if not spec.formats or not model:
        return None
    device = min((gpu.memory_total for gpu in gpus), default=0)
    ranks = len(gpus) // max(pool.replicas, 1) or 1
    estimate, note = _estimated(pool, spec, known.get(model, ""), device)
    return PoolMemory(
        pool=pool.name,
        engine=spec.name,
        model=model,
        place="GPU" if gpus else "RAM",
        workers=pool.replicas,
        gpus=ranks if gpus else 0,
        device=device,
        estimate=estimate,
        note=note,
    )


def _estimated(pool: Pool, spec: EngineSpec, known: ModelShape | str, device: int) -> tuple[MemoryEstimate | None, str]:
    if isinstance(known, str):
        return None, known or "the model's metadata is not known"
    asked = MemoryQuestion(known, pool.args, pool.options, pool.tensor_parallel, device)
    try:
        return spec.memory(asked), ""
    except (ShapeUnknown, UsageError) as why:
        return None, str(why)


def check_gpus(memory: PoolMemory, of_more: Iterable[tuple[int, MemoryEstimate | None]]) -> Iterator[str]:
    """The warning about a pool on GPUs that cannot serve a whole context; `of_more`: what more GPUs a worker would
    make of it.

    Raises ResourceMissing when the weights alone are more than its GPUs have.
    """
    estimate = memory.estimate
    if memory.place != "GPU" or estimate is None or not memory.device:
        return
    whose = f"pool {memory.pool}: {memory.model}"
    each = f"each of {memory.gpus} GPUs" if memory.gpus > 1 else "one GPU"
    help_ = _help(memory, of_more)
    if estimate.weights > memory.device:
        weights, there = memory_words(estimate.weights), memory_words(memory.device)
        raise ResourceMissing(f"{whose} has {weights} of weights on {each} of {there}: it cannot fit; {help_}")
    if estimate.kv_tokens < estimate.context:
        taken = f"{memory_words(estimate.weights)} of weights and {memory_words(estimate.overhead)} beside"
        room = f"leave room for {estimate.kv_tokens:,} tokens" if estimate.kv_tokens else "leave no room for KV"
        yield (
            f"{whose}: {taken} on {each} of {memory_words(memory.device)} {room}, and one request may have "
            f"{estimate.context:,}: {memory.engine} will not start; {help_}"
        )


def more_gpus(
    pool: Pool, spec: EngineSpec, memory: PoolMemory, known: Mapping[str, ModelShape | str]
) -> Iterator[tuple[int, MemoryEstimate | None]]:
    """What a worker of this pool would hold with 2, 4, 8 times as many GPUs, as far as its heads can be divided."""
    shape = known.get(memory.model, "")
    for ranks in (pool.tensor_parallel * factor for factor in (2, 4, 8)):
        if isinstance(shape, ModelShape) and spec.splits and shape.divides(ranks):
            wider = msgspec.structs.replace(pool, tensor_parallel=ranks)
            yield ranks, _estimated(wider, spec, shape, memory.device)[0]


def _help(memory: PoolMemory, of_more: Iterable[tuple[int, MemoryEstimate | None]]) -> str:
    key = f"workers.{memory.pool}"
    ways = [
        f"set {key}.tensor_parallel = {ranks}"
        for ranks, more in of_more
        if more is not None and more.kv_tokens >= more.context
    ][:1]
    shorter = memory.estimate.kv_tokens // 256 * 256 if memory.estimate else 0
    if shorter:
        ways.append(f'{key}.args = ["--max-model-len", "{shorter}"]')
    return ", or ".join([*ways, "take the model in a smaller quantisation"])


def check_main_memory(pools: Sequence[PoolMemory], available: int) -> Iterator[str]:
    """The warning about pools in main memory that need more than is `available`, 0 when that is not known.

    Workers of one machine share the pages of a GGUF file.
    """
    held = [(each, each.estimate) for each in pools if each.place == "RAM" and each.estimate is not None]
    files = {each.model: estimate.weights for each, estimate in held if each.engine == "llamacpp"}
    own = [(0 if each.engine == "llamacpp" else estimate.weights) * each.workers for each, estimate in held]
    beside = [(estimate.kv_cache + estimate.overhead) * each.workers for each, estimate in held]
    need = sum(files.values()) + sum(own) + sum(beside)
    if available and need > available:
        names = ", ".join(each.pool for each, _ in held)
        yield (
            f"pool{'s' * (len(held) > 1)} {names}: {memory_words(need)} of memory will be needed, "
            f"{memory_words(available)} are available; "
            "fewer replicas, a shorter context (--max-model-len) or fewer sequences at a time need less"
        )
