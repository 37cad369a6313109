"""Decides what a topology for this model on this machine says, and why. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from dynamo_cli.errors import ResourceMissing, UsageError
from dynamo_cli.estimate.result import MemoryEstimate
from dynamo_cli.estimate.shape import ModelShape, ShapeUnknown
from dynamo_cli.gpus.usable import GIB, memory_words
from dynamo_cli.topology.draft.draft import Draft, Wishes, draft_name
from dynamo_cli.topology.draft.engine import choose_engine
from dynamo_cli.topology.draft.facts import Facts
from dynamo_cli.topology.draft.units import Units, units_of
from dynamo_cli.workers.engines.base import EngineSpec, MemoryQuestion

GPU_CONTEXT, CPU_CONTEXT = 32768, 8192
"""Tokens of a request where nobody asks for another number."""
LEAST_CONTEXT = 2048
CPU_SHARE = 0.8
"""Of the memory that is available, what a drafted deployment may take."""
SEQUENCES = (4, 2, 1)
"""Of llama.cpp, at a time."""
MOST_RANKS = 64


def choose(facts: Facts, wishes: Wishes) -> Draft:
    """Raises ResourceMissing for a model that does not fit, UsageError for wishes that cannot be."""
    spec, reason = choose_engine(facts, wishes.engine)
    draft = Draft(
        name=draft_name(facts.model), model=facts.model, engine=spec.name, engine_reason=reason, wishes=wishes
    )
    if spec.formats and isinstance(facts.shape, ModelShape):
        return _Fitting(facts, wishes, spec, facts.shape, draft).draft()
    return _unmeasured(facts, spec, draft)


def _unmeasured(facts: Facts, spec: EngineSpec, draft: Draft) -> Draft:
    """The plainest deployment, where nothing is known of memory, or none is needed."""
    context = draft.wishes.context
    unknown = facts.shape if spec.formats and isinstance(facts.shape, str) else ""
    args = _context_args(spec, context) if context else ()
    halves = {"prefill": 1, "decode": 1} if draft.wishes.disagg else {"decode": 1}
    return msgspec.structs.replace(draft, pools=halves, args=args, context=context, unknown=unknown)


def _context_args(spec: EngineSpec, context: int) -> tuple[str, ...]:
    return ("--max-model-len", str(context)) if spec.formats or spec.name == "mock" else ()


class _Fitting:
    """Tries the cheapest way first: few GPUs a worker, and only then a shorter context."""

    def __init__(self, facts: Facts, wishes: Wishes, spec: EngineSpec, shape: ModelShape, draft: Draft) -> None:
        self._facts, self._wishes, self._spec, self._shape, self._draft = facts, wishes, spec, shape, draft
        if wishes.context and shape.context and wishes.context > shape.context:
            raise UsageError(f"--context {wishes.context} is more than the {shape.context} tokens of {facts.model}")

    def draft(self) -> Draft:
        on_gpus = self._spec.name == "vllm" and not self._facts.on_cpu
        groups = units_of(self._facts.gpus) if on_gpus else []
        if groups and self._wishes.disagg:
            groups = [units for units in groups if units.count > 1]
            if not groups:
                raise ResourceMissing("--disagg makes two workers at least, and no two GPUs here are alike and free")
        for draft in self._on_gpus(groups) if groups else self._on_cpu():
            return draft
        raise ResourceMissing(self._too_large(groups))

    def _contexts(self, usual: int) -> Iterator[int]:
        """What was asked for, or the usual one, halved as often as is bearable."""
        if self._wishes.context:
            yield self._wishes.context
            return
        context = min(self._shape.context or usual, usual)
        while context:
            yield context
            context = context // 2 if context // 2 >= LEAST_CONTEXT else 0

    def _on_gpus(self, groups: list[Units]) -> Iterator[Draft]:
        for context in self._contexts(GPU_CONTEXT):
            for units in groups:
                for ranks in self._ranks(units):
                    estimate = self._estimate(self._gpu_args(context, units), {}, ranks, units.memory)
                    if estimate and estimate.kv_tokens >= context:
                        yield self._over(units, ranks, context, estimate)

    def _ranks(self, units: Units) -> Iterator[int]:
        """How many GPUs a worker may have: powers of two that divide its heads. A MIG instance works alone."""
        most = 1 if units.profile else min(units.count // (2 if self._wishes.disagg else 1), MOST_RANKS)
        ranks = 1
        while ranks <= most:
            if self._shape.divides(ranks):
                yield ranks
            ranks *= 2

    def _gpu_args(self, context: int, units: Units) -> tuple[str, ...]:
        return ("--max-model-len", str(context), "--gpu-memory-utilization", f"{units.share:g}")

    def _over(self, units: Units, ranks: int, context: int, estimate: MemoryEstimate) -> Draft:
        workers = units.count // ranks
        return msgspec.structs.replace(
            self._draft,
            pools=_halves(workers) if self._wishes.disagg else {"decode": workers},
            units=units,
            ranks=ranks,
            context=context,
            trained=self._shape.context,
            args=self._gpu_args(context, units),
            estimate=estimate,
            alone=self._alone(ranks, context, units),
        )

    def _alone(self, ranks: int, context: int, units: Units) -> MemoryEstimate | None:
        """What a worker with half as many GPUs would hold: too much, or it would have them."""
        return self._estimate(self._gpu_args(context, units), {}, ranks // 2, units.memory) if ranks > 1 else None

    def _on_cpu(self) -> Iterator[Draft]:
        workers = 2 if self._wishes.disagg else 1
        available = self._facts.main_memory * CPU_SHARE
        for context in self._contexts(CPU_CONTEXT):
            for args, options in self._cpu_settings(context):
                estimate = self._estimate(args, options, 1, 0)
                if estimate is None:
                    continue
                shared = estimate.weights * (workers - 1) if self._spec.name == "llamacpp" else 0
                need = workers * estimate.total - shared
                if estimate.kv_tokens >= context and (not self._facts.main_memory or need <= available):
                    yield self._in_memory(args, options, context, estimate)

    def _cpu_settings(self, context: int) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
        if self._spec.name == "llamacpp":
            yield from (((), {"parallel": sequences, "max_model_len": context}) for sequences in SEQUENCES)
        else:
            args = ("--max-model-len", str(context))
            yield args, {}
            cache = self._shape.kv_numbers() * 2 * context // GIB + 2
            yield (*args, "--kv-cache-memory-bytes", f"{cache}G"), {}

    def _in_memory(
        self, args: tuple[str, ...], options: dict[str, Any], context: int, estimate: MemoryEstimate
    ) -> Draft:
        return msgspec.structs.replace(
            self._draft,
            pools={"prefill": 1, "decode": 1} if self._wishes.disagg else {"decode": 1},
            context=context,
            trained=self._shape.context,
            args=args,
            options=options,
            estimate=estimate,
        )

    def _estimate(
        self, args: tuple[str, ...], options: dict[str, Any], ranks: int, device: int
    ) -> MemoryEstimate | None:
        try:
            return self._spec.memory(MemoryQuestion(self._shape, args, options, ranks, device))
        except ShapeUnknown:
            return None

    def _too_large(self, groups: list[Units]) -> str:
        context = self._wishes.context or LEAST_CONTEXT
        if not groups:
            there = f"{memory_words(self._facts.main_memory)} of memory are available"
            (args, options), ranks, device = list(self._cpu_settings(context))[-1], 1, 0
        else:
            units = groups[0]
            ranks, device = max(self._ranks(units), default=1), units.memory
            args, options = self._gpu_args(context, units), {}
            there = f"there are {units.count} x {units.name} with {memory_words(units.memory)} each"
        estimate = self._estimate(args, options, ranks, device)
        assert estimate is not None
        kv = estimate.kv_bytes_per_token * context
        need = memory_words(estimate.weights + estimate.overhead + kv)
        each = f" on each of {ranks} GPUs" if ranks > 1 else " on one GPU" if groups else ""
        return (
            f"{self._facts.model} with {context:,} tokens of context needs {need}{each} "
            f"({memory_words(estimate.weights)} of them weights), {there}; "
            "take it in a smaller quantisation, a smaller model, a smaller --context, or a larger machine (--gpus)"
        )


def _halves(workers: int) -> dict[str, int]:
    """A quarter of the workers prefills, and one at least."""
    prefill = max(1, workers // 4)
    return {"prefill": prefill, "decode": workers - prefill}
