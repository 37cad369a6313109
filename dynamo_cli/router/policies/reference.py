"""The cost of the reference's router, as Dynamo 1.6.1 has it, to compare with."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from dynamo_cli.router.policies.base import Decision, Policy, RoutingRequest, State
from dynamo_cli.router.selection import drawn


class ReferenceOptions(msgspec.Struct, frozen=True):
    """Its parameters and their defaults. Credits are blocks saved for each block found; `temperature` 0: no chance."""

    overlap_credit: float = 1.0
    host_credit: float = 0.75
    disk_credit: float = 0.25
    decay_rate: float = 0.0
    prefill_load_scale: float = 1.0
    decode_active_request_weight: float = 0.0
    temperature: float = 0.0


class Reference(Policy):
    """cost = prefill_load_scale x blocks to be computed there + blocks in use there + weight x requests there.

    Both include the request itself. What is found is worth `overlap_credit` (less where more is queued than
    elsewhere, by `decay_rate`).
    """

    looks_at_blocks: ClassVar[bool] = True

    def __init__(self, rng: random.Random, options: ReferenceOptions | None = None) -> None:
        self._rng = rng
        self._options = options or ReferenceOptions()

    def decide(self, request: RoutingRequest, candidates: Sequence[int], state: State, now: float) -> Decision:
        credit, temperature = request.wants(self._options.overlap_credit, self._options.temperature)
        costs = self._costs(request, candidates, state, credit)
        place = drawn(costs, temperature, self._rng)
        worker = candidates[place]
        return Decision(worker, state.stored.device.get(worker, 0), costs)

    def _costs(self, request: RoutingRequest, candidates: Sequence[int], state: State, credit: float) -> list[float]:
        options, size = self._options, state.block_size
        device, host, disk = state.stored
        prefill, blocks, predicted, inflight = state.prefill_tokens, state.blocks, state.predicted, state.inflight
        own, generated = len(request.hashes), state.generated
        rate = options.decay_rate / request.tokens if request.tokens else 0.0
        least = min(prefill.get(worker, 0) for worker in candidates) if rate else 0
        costs = []
        for worker in candidates:
            queued = prefill.get(worker, 0)
            found = credit * device.get(worker, 0)
            if rate:
                found /= 1.0 + rate * (queued - least)
            if host or disk:
                found += options.host_credit * host.get(worker, 0) + options.disk_credit * disk.get(worker, 0)
            to_compute = max((queued + request.tokens) / size - found, 0.0)
            in_use = blocks.get(worker, 0) + own - predicted.get(worker, 0) + generated.get(worker, 0.0)
            per_request = options.decode_active_request_weight * inflight.get(worker, 0)
            costs.append(options.prefill_load_scale * to_compute + in_use + per_request)
        return costs
