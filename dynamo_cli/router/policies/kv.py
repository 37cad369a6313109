"""Our own KV-aware policy: the wait of the request itself, and the delay it brings to the others."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import sqrt
from typing import ClassVar

import msgspec

from dynamo_cli.router.policies.base import Decision, Policy, RoutingRequest, State
from dynamo_cli.router.selection import drawn

LITTLE_WORK = 1 << 18
"""Prompt tokens: a few seconds of a fast device. That much more or less in a minute is no imbalance."""


class KvOptions(msgspec.Struct, frozen=True):
    """Credits are blocks saved for each block found. `decode_weight`: what a block in use costs a request over its
    whole answer, as a share of computing a block. `temperature` 0: no chance.
    """

    overlap_credit: float = 1.0
    host_credit: float = 0.75
    disk_credit: float = 0.25
    decode_weight: float = 0.1
    temperature: float = 0.0


class Kv(Policy):
    """cost = tokens queued there + sqrt(1 + requests there) x share x tokens to be computed there
            + decode_weight x tokens in use there; the least wins.

    Unit: the time of one prompt token. Prompt tokens of a request delay the request itself once, and once every
    other request of the worker, since all of them wait for the same steps. Counting nobody else, the factor would be
    1: prefixes are given up to save the request a short wait, and what is computed twice makes all wait. Counting
    everybody in full, it would be 1 + requests there: right for the sum of all delays, but it lets single requests
    queue for long. Their geometric mean is the compromise. So a found block is worth more than its own computation,
    and the more so the busier a worker is; but where the queue is longer than what is saved, it is given up.

    `share` is what the worker was given lately over the mean of the candidates, LITTLE_WORK added to both: who has
    many sessions gets fewer new ones, before it has queues.

    Blocks in use slow every token of the answer a little; the weight keeps that from drowning a prefix.

    Without any overlap, queues decide, then the number of requests. A prefix which all workers hold is no reason for
    any of them. Blocks of requests on their way count as present. Nothing has to be
    known of the model, the device or the capacity.
    """

    looks_at_blocks: ClassVar[bool] = True

    def __init__(self, rng: random.Random, options: KvOptions | None = None) -> None:
        self._rng = rng
        self._options = options or KvOptions()

    def decide(self, request: RoutingRequest, candidates: Sequence[int], state: State, now: float) -> Decision:
        credit, temperature = request.wants(self._options.overlap_credit, self._options.temperature)
        costs = self._costs(request, candidates, state, credit * state.block_size)
        worker = candidates[drawn(costs, temperature, self._rng)]
        found = max(state.stored.device.get(worker, 0), state.predicted.get(worker, 0))
        return Decision(worker, found, costs)

    def _costs(self, request: RoutingRequest, candidates: Sequence[int], state: State, each: float) -> list[float]:
        device, host, disk = state.stored
        slower = bool(host or disk)
        queued, inflight, predicted, tokens = state.prefill_tokens, state.inflight, state.predicted, request.tokens
        recent, blocks, generated = state.recent, state.blocks, state.generated
        per_block = self._options.decode_weight * state.block_size
        little = LITTLE_WORK * state.recent_unit
        mean = sum([recent.get(worker, 0.0) for worker in candidates]) / len(candidates) + little
        costs = []
        for worker in candidates:
            found = device.get(worker, 0)
            coming = predicted.get(worker, 0)
            new = tokens - each * (found if found > coming else coming)
            if slower:
                new -= self._behind(worker, state, found, coming)
            if new < 1.0:
                new = 1.0
            share = (recent.get(worker, 0.0) + little) / mean
            cost = queued.get(worker, 0) + sqrt(1 + inflight.get(worker, 0)) * share * new
            in_use: float = blocks.get(worker, 0)
            if generated:
                in_use += generated.get(worker, 0.0)
            costs.append(cost + per_block * in_use)
        return costs

    def _behind(self, worker: int, state: State, found: int, coming: int) -> float:
        """Tokens saved by the slower tiers, beyond what requests on their way bring to the device."""
        host = state.stored.host.get(worker, 0)
        disk = state.stored.disk.get(worker, 0)
        ahead = max(0, coming - found)
        host, disk = max(0, host - ahead), max(0, disk - max(0, ahead - host))
        return state.block_size * (self._options.host_credit * host + self._options.disk_credit * disk)
