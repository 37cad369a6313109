"""A request whose prompt may be computed by another worker than the one that answers it."""

from __future__ import annotations

import logging
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from dynamo_cli.disagg.prefilling import MOST_TRANSFERS, may_recompute
from dynamo_cli.errors import Draining, DynamoError, NotReady, TransferFailed
from dynamo_cli.protocol.engine import EngineRequest, EngineUsage
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.routing.flight import Flight, Outfit, Reader
from dynamo_cli.routing.hints import RoutingHints
from dynamo_cli.routing.migration import is_refusal, migratable
from dynamo_cli.routing.remote_prefill import FallbackReason, RemoteLeg, RemotePrefill
from dynamo_cli.runtime.trail import Trail

if TYPE_CHECKING:
    from dynamo_cli.routing.dispatch import Dispatcher

log = logging.getLogger(__name__)


class PrefilledFlight(Flight):
    """To a prefill worker first, when `remote` wants that; then with the hand-over to one that decodes.

    Workers that meet by themselves both get it at once. What fails before the first token of an answer is prefilled
    once more, by another worker, then computed where it is decoded. A worker that is lost later is replaced as always:
    the prompt and its answer so far are a prompt again.

    A prefill worker with nothing else to do may answer it, until it is needed: then it goes on at one that decodes.
    """

    __slots__ = (
        "_avoid",
        "_before",
        "_handover",
        "_leg",
        "_remote",
        "_reusable",
        "_transfers_failed",
        "_uncounted",
        "prefilled",
    )

    def __init__(
        self,
        remote: RemotePrefill,
        dispatcher: Dispatcher,
        request: EngineRequest,
        sink: Reader,
        request_id: str,
        wanted: int | None,
        accepted: bool,
        trail: Trail | None,
        hints: RoutingHints,
        avoid: Collection[int] = (),
        outfit: Outfit | None = None,
    ) -> None:
        super().__init__(dispatcher, request, sink, request_id, wanted, accepted, trail, hints, avoid, outfit)
        self.prefilled = None
        self._remote = remote
        self._leg: RemoteLeg | None = None
        self._handover: Handover | None = None
        self._reusable = False
        self._before = 0
        self._avoid: set[int] = set()
        self._transfers_failed = 0
        self._uncounted = False

    def launch(self, request: EngineRequest) -> None:
        candidates = self._candidates()
        if self._goes_remote(request, candidates):
            self._prefill(request)
        elif self._wanted is not None or not self._remote.answers(request, self._home.placer, candidates):
            super().launch(request)
        else:
            self._visit(request)

    def start(self, request: EngineRequest, advised: int | None = None) -> None:
        handover = self._handover = request.handover
        self._uncounted = handover is not None
        self._before, hit_rate = self._progress.count, self.kv_hit_rate
        super().start(request, advised)
        if handover is not None:
            self.kv_hit_rate = hit_rate

    def cancel(self) -> None:
        self._drop_leg()
        if self._asked is None and self._stream is None and not self._over:
            self._settle("cancelled")
            self._over = True
        else:
            super().cancel()

    def on_frame(self, deltas: list[Any]) -> None:
        """What was fetched counts at once: whoever reads may have had enough before there is a usage."""
        if self._uncounted and not self._over and (fetched := deltas[0].fetched) is not None:
            self._count(*fetched)
        super().on_frame(deltas)

    def on_error(self, error: DynamoError) -> None:
        fetched = self._handover is None or self._has_begun or self._over
        if isinstance(error, TransferFailed) and not fetched:
            self._transfer_failed(error)
        else:
            super().on_error(error)

    # Flight

    def _eligible(self, candidates: list[int]) -> list[int]:
        return candidates if self._handover is None else self._dispatcher.model.decoders(candidates) or candidates

    def _resend(self, request: EngineRequest, error: DynamoError) -> None:
        """A worker that refused it has fetched nothing."""
        self._dispatcher = self._home
        if self._handover is not None and self._reusable and is_refusal(error):
            self.start(replace(request, handover=self._handover))
        elif self._goes_remote(request, self._candidates()):
            self._prefill(request)
        else:
            self.start(request)

    def _release(self) -> None:
        super()._release()
        self._remote.lending.leave(self)
        self._forsake()

    def _note_usage(self, usage: EngineUsage) -> None:
        """What the prefill worker had in its cache nobody had to compute, either."""
        if self._uncounted:
            self._count(usage.transferred_tokens, usage.transferred_bytes, usage.transfer_s)
        if self._handover is not None and self.prefilled is not None:
            usage.cached_tokens = max(usage.cached_tokens, self.prefilled.cached_tokens)

    def _count(self, tokens: int, size: int, seconds: float) -> None:
        self._uncounted = False
        self._remote.counts_of(self._progress.request).transferred(tokens, size, seconds)

    @property
    def _has_begun(self) -> bool:
        """Whether the worker that has it now has answered something: then the KV has come."""
        return self._finished or self._progress.count > self._before

    @property
    def _heir(self) -> int:
        return self._instance if self._leg is None else self._leg.worker

    def _part(self, error: DynamoError) -> None:
        self._drop_leg()
        super()._part(error)

    def _fail(self, error: DynamoError) -> None:
        self._drop_leg()
        super()._fail(error)

    # Prefill workers

    def _candidates(self) -> list[int]:
        """Of those that decode. Raises as Dispatcher.send."""
        return self._home.candidates(self._wanted, self._tried, self._progress.needs, self._accepted)

    def _goes_remote(self, request: EngineRequest, candidates: list[int]) -> bool:
        return self._remote.wants(request, self._home.placer, candidates)

    def _visit(self, request: EngineRequest) -> None:
        """Have it answered by a prefill worker, or, if none takes it, by those who always answer."""
        self._dispatcher = self._remote.dispatcher
        try:
            self.start(request)
        except DynamoError:
            self._dispatcher = self._home
            super().launch(request)
        else:
            self._remote.counts_of(request).answered += 1
            self._remote.lending.enter(self)

    def go_home(self) -> None:
        """Leave the prefill worker that answers it, which is needed; not what could not go on elsewhere."""
        if self._dispatcher is not self._home and not self._finished and self._may_move():
            self.on_error(Draining("the prefill worker is needed for prompts"))

    def _may_move(self) -> bool:
        progress, home = self._progress, self._home
        longest = home.options.max_seq_len
        fits = longest is None or len(progress.request.token_ids) + progress.count <= longest
        return not progress.count or (home.options.limit > 0 and fits and migratable(progress.request, home.model))

    def _prefill(self, request: EngineRequest) -> None:
        """Have the prompt computed by a prefill worker; raises what nobody can help."""
        self._handover, self._reusable = None, False
        try:
            about = self._request_id, self._trail, self._hints
            leg = self._remote.begin(request, *about, self._avoid, partial(self._prefill_ended, request))
        except DynamoError as error:
            self._recompute(request, error, "prefill_failed")
            return
        self._accepted = True
        if leg.at_once:
            try:
                self.start(replace(request, handover=leg.handover))
            except DynamoError:
                leg.cancel()
                raise
        self._leg = leg

    def _prefill_ended(self, request: EngineRequest, leg: RemoteLeg, error: DynamoError | None) -> None:
        self._leg = None
        self._note_prefill(leg)
        if self._over:
            return
        if leg.at_once:
            if error is not None and not self._has_begun:
                self._transfer_failed(TransferFailed(f"the prefill worker failed: {error}"))
            return
        try:
            if error is None:
                self._reusable = True
                self.start(replace(request, handover=leg.handover))
            else:
                self._recompute(request, error, "prefill_failed")
        except DynamoError as final:
            self._forsake()
            self._fail(final)

    def _forsake(self) -> None:
        """If no worker fetches what is kept for it, it need not be kept."""
        handover, prefilled = self._handover, self.prefilled
        if handover is not None and prefilled is not None and self._reusable and not self._has_begun:
            in_use = partial(self._is_fetching, handover)
            self._remote.forsake(prefilled.worker, handover, in_use)

    def _is_fetching(self, handover: Handover) -> bool:
        return self._handover is handover and self._placed is not None

    def _note_prefill(self, leg: RemoteLeg) -> None:
        flight = leg.flight
        if flight is not None:
            for one in flight.legs:
                one.prefills = True
            last = self.legs[-1:] if leg.at_once else ()
            self.legs = (*self.legs[: len(self.legs) - len(last)], *flight.legs, *last)
            self.prefilled = leg.result
            self.kv_hit_rate = flight.kv_hit_rate

    def _transfer_failed(self, error: TransferFailed) -> None:
        """Have it computed elsewhere, or, when that has been tried or cannot be, where it is decoded."""
        failed = self._leg.worker if self._leg is not None else self.prefilled.worker if self.prefilled else 0
        self._part(error)
        self._transfers_failed += 1
        self._avoid.add(failed)
        self.prefilled = None
        request = self._progress.rest()
        log.info("request %s: %s", self._request_id, error, extra={"trail": self._trail})
        try:
            if self._transfers_failed < MOST_TRANSFERS and self._remote.others(self._avoid):
                self._prefill(request)
            else:
                self._recompute(request, error, "transfer_failed")
        except DynamoError as final:
            self._fail(final)

    def _recompute(self, request: EngineRequest, error: DynamoError, reason: FallbackReason) -> None:
        """Let the one that answers compute the prompt. Raises what the client is to hear instead, if it must not."""
        remote = self._remote
        if not may_recompute(error):
            raise error
        if remote.enforced:
            raise NotReady(f"no prefill worker of model {remote.model.name} could take the request: {error}")
        remote.counts_of(request).fallbacks[reason] += 1
        told = self._request_id, error
        log.info("request %s is computed where it is decoded: %s", *told, extra={"trail": self._trail})
        self.start(request)

    def _drop_leg(self) -> None:
        leg, self._leg = self._leg, None
        if leg is not None:
            leg.cancel()
