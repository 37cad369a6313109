"""Prefill workers that answer whole requests as long as nobody needs them for prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from dynamo_cli.disagg.conditional import ConditionalDisagg, burden
from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.routing.kv_placing import KvPlacer

if TYPE_CHECKING:
    from dynamo_cli.routing.placing import Placer


class Guest(Protocol):
    """A request that a prefill worker answers."""

    def go_home(self) -> None:
        """Go on at a worker that decodes, if it can."""


class Lending:
    """Of one model. `prefill`: where its prefill workers are chosen. `clock`: seconds, never going back."""

    def __init__(self, prefill: Placer, clock: Callable[[], float] = monotonic) -> None:
        self._prefill = prefill
        self._clock = clock
        self._needed_at = -float("inf")
        self._guests: dict[Guest, None] = {}
        self._sending_home = False

    def takes(
        self, options: ConditionalDisagg | None, request: EngineRequest, decode: Placer, candidates: Sequence[int]
    ) -> bool:
        """Whether a prefill worker is to answer it, which has less to do than any of `candidates`, who decode."""
        after_s = None if options is None else options.prefill_answers_after_s
        if after_s is None or self._clock() - self._needed_at < after_s:
            return False
        lenders = self._prefill.model.candidates
        return bool(lenders) and _least(self._prefill, request, lenders) < _least(decode, request, candidates)

    def enter(self, guest: Guest) -> None:
        self._guests[guest] = None

    def leave(self, guest: Guest) -> None:
        """Idempotent."""
        self._guests.pop(guest, None)

    def needed(self) -> None:
        """A prompt is about to be computed for others: who is answered there goes on elsewhere."""
        self._needed_at = self._clock()
        if self._sending_home:  # one of them has a prompt of its own to be computed by now
            return
        self._sending_home = True
        try:
            for guest in list(self._guests):
                guest.go_home()
        finally:
            self._sending_home = False


def _least(placer: Placer, request: EngineRequest, candidates: Sequence[int]) -> tuple[int, int]:
    """The burden, with this request, of the candidate with the smallest one; then by requests in flight."""
    found = placer.found(request, candidates) if isinstance(placer, KvPlacer) else {}
    model, tokens = placer.model, len(request.token_ids)

    def weigh(worker: int) -> tuple[int, int]:
        load = model.loads.of(worker)
        to_compute = load.active_prefill_tokens + max(0, tokens - found.get(worker, 0))
        return burden(to_compute, load.active_decode_blocks, model.block_size), placer.inflight.get(worker, 0)

    return min(map(weigh, candidates))
