"""The prefill workers of one model, as those who answer its requests use them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from msgspec.structs import replace

from dynamo_cli.disagg.conditional import ConditionalDisagg, Outlook, stays_local
from dynamo_cli.disagg.options import DisaggOptions
from dynamo_cli.disagg.prefilling import bootstrap_handover, letting_go, prefill_request
from dynamo_cli.errors import DynamoError, EngineFailed, NotReady, TransferFailed
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.routing.hints import RoutingHints
from dynamo_cli.routing.kv_placing import KvPlacer
from dynamo_cli.routing.legs import Prefilled
from dynamo_cli.routing.lending import Lending
from dynamo_cli.routing.placing import Placer
from dynamo_cli.routing.registry import RoutedModel
from dynamo_cli.runtime.trail import Trail

if TYPE_CHECKING:
    from dynamo_cli.routing.dispatch import Dispatcher
    from dynamo_cli.routing.flight import Flight

FallbackReason = Literal["no_prefill_worker", "no_decode_worker", "prefill_failed", "transfer_failed"]
FALLBACK_REASONS: tuple[FallbackReason, ...] = (
    "no_prefill_worker",
    "no_decode_worker",
    "prefill_failed",
    "transfer_failed",
)


FORSAKEN_S = 2.0
"""After this a decode worker that is lost has stopped to read, if it ever began."""


class RemoteCounts:
    """`prefills` that ended with a hand-over; prompts `kept_local` on purpose, of which prefill workers `answered` so
    many; `fallbacks` by why a decode worker had to compute what should have been computed elsewhere. KV that was
    transferred: `tokens`, `bytes`, `seconds`."""

    def __init__(self) -> None:
        self.prefills = 0
        self.kept_local = 0
        self.answered = 0
        self.fallbacks: Counter[FallbackReason] = Counter()
        self.transfers = 0
        self.tokens = 0
        self.bytes = 0
        self.seconds = 0.0

    def view(self) -> dict[str, Any]:
        """See protocol.routing_view.PrefillCounts."""
        told = ("prefills", "kept_local", "answered", "transfers", "tokens", "bytes", "seconds")
        return {name: getattr(self, name) for name in told} | {"fallbacks": self.fallbacks.total()}

    def transferred(self, tokens: int, size: int, seconds: float) -> None:
        self.transfers += 1
        self.tokens += tokens
        self.bytes += size
        self.seconds += seconds


class RemotePrefill:
    """Dormant as long as there are no prefill workers. `dispatcher` is theirs; `conditional`, of a model's name, is
    what counts now instead of that of the options.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        options: DisaggOptions,
        conditional: Callable[[str], ConditionalDisagg | None] | None = None,
    ) -> None:
        self.dispatcher = dispatcher
        self.options = options
        self.counts = RemoteCounts()
        self.lending = Lending(dispatcher.placer)
        self.later: Callable[[float, Callable[[], None]], object] = _later
        self._conditional = conditional or (lambda model: options.conditional)
        self._rng = random.Random()
        self._seen = False

    @property
    def model(self) -> RoutedModel:
        return self.dispatcher.model

    @property
    def dormant(self) -> bool:
        """There is nobody and nobody is missed."""
        return not self.model.candidates and not self.model.cards and not self._is_missed

    @property
    def enforced(self) -> bool:
        return self.options.enforce

    def wants(self, request: EngineRequest, decode: Placer, candidates: Sequence[int]) -> bool:
        """Whether the prompt is to be computed by a prefill worker; `candidates` are those that can answer it.

        Raises NotReady when it has to be, and cannot be.
        """
        if not self.model.candidates:
            self._seen = self._seen or bool(self.model.cards)
            return self._is_missed and self._without(request, "no_prefill_worker", "no prefill worker of it is there")
        self._seen = True
        decoders = decode.model.decoders(candidates)
        if not decoders:
            words = "none of its workers takes over from prefill workers"
            return self._without(request, "no_decode_worker", words)
        options = self._conditional(self.model.name)
        if options is None or not request.token_ids:
            return True
        if stays_local(options, self._outlook(request, decode, decoders)):
            self.counts_of(request).kept_local += 1
            return False
        return True

    def answers(self, request: EngineRequest, decode: Placer, candidates: Sequence[int]) -> bool:
        """Whether a prefill worker is to answer what stays local, instead of one of `candidates`."""
        return self.lending.takes(self._conditional(self.model.name), request, decode, candidates)

    def begin(
        self,
        request: EngineRequest,
        request_id: str,
        trail: Trail | None,
        hints: RoutingHints,
        avoid: Collection[int],
        done: Callable[[RemoteLeg, DynamoError | None], None],
    ) -> RemoteLeg:
        """Send the prompt to a prefill worker that is not to be avoided; `done` is called once, later.

        Raises NoInstances, or Overloaded, when nobody can take it.
        """
        if not request.probe:
            self.lending.needed()
        leg = RemoteLeg(self, done, self.counts_of(request))
        leg.flight = self.dispatcher.send(
            prefill_request(request),
            leg,
            request_id=request_id,
            trail=trail,
            hints=replace(hints, expected_output=0) if hints.expected_output else hints,
            avoid=avoid,
            outfit=leg.outfit,
        )
        leg.sent = True
        return leg

    def forsake(self, worker: int, handover: Handover, in_use: Callable[[], bool]) -> None:
        """Nobody fetches any more what that worker keeps, unless it turns out to be `in_use` after a while."""
        self.later(FORSAKEN_S, partial(self._let_go, worker, handover, in_use))

    def _let_go(self, worker: int, handover: Handover, in_use: Callable[[], bool]) -> None:
        client = self.model.clients.get(worker)
        if client is None or worker not in self.model.candidates or in_use():
            return
        with suppress(DynamoError):
            client.send(letting_go(self.model.name, handover), worker, _Deaf())

    def counts_of(self, request: EngineRequest) -> RemoteCounts:
        """Where this request counts: a probe counts nowhere."""
        return RemoteCounts() if request.probe else self.counts

    def others(self, avoid: Collection[int]) -> bool:
        """Whether there is a prefill worker that is not to be avoided."""
        return any(worker not in avoid for worker in self.model.candidates)

    def handover_for(self, worker: int) -> Handover | None:
        card = self.model.cards.get(worker)
        return None if card is None else bootstrap_handover(card, self._rng)

    @property
    def _is_missed(self) -> bool:
        """There was a prefill worker, or there must be one."""
        return self._seen or self.enforced

    def _without(self, request: EngineRequest, reason: FallbackReason, words: str) -> bool:
        if self.enforced:
            raise NotReady(f"model {self.model.name} is served by prefill and decode workers alone, and {words}")
        self.counts_of(request).fallbacks[reason] += 1
        return False

    def _outlook(self, request: EngineRequest, decode: Placer, candidates: Sequence[int]) -> Outlook:
        """Of the decode worker that has most of the prompt, and of the prefill worker with least before it."""
        tokens, found, best = len(request.token_ids), 0, candidates[0]
        if isinstance(decode, KvPlacer):
            had = decode.found(request, candidates)
            best = max(had, key=had.__getitem__)
            found = had[best]
        pool = self.model
        waits = min(_steps(pool, worker) for worker in pool.candidates)
        blocks = decode.model.capacity(best).blocks
        usage = decode.model.loads.of(best).active_decode_blocks / blocks if blocks else 0.0
        return Outlook(tokens, min(found, tokens), waits, usage)


def _steps(pool: RoutedModel, worker: int) -> float:
    batch = pool.capacity(worker).batch
    return pool.loads.of(worker).active_prefill_tokens / batch if batch else 0.0


def _later(seconds: float, do: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_later(seconds, do)


class _Deaf:
    """The sink of what needs no answer."""

    def on_frame(self, deltas: list[Any]) -> None: ...

    def on_end(self) -> None: ...

    def on_error(self, error: DynamoError) -> None: ...


class RemoteLeg:
    """One prompt at a prefill worker: the sink of its flight. `handover` is there when it has ended well, or, of
    workers that must both know beforehand, as soon as it is sent."""

    def __init__(
        self, remote: RemotePrefill, done: Callable[[RemoteLeg, DynamoError | None], None], counts: RemoteCounts
    ) -> None:
        self.flight: Flight | None = None
        self.handover: Handover | None = None
        self.at_once = False
        self.sent = False
        self.began = perf_counter()
        self._remote = remote
        self._done = done
        self._counts = counts
        self._last: Delta | None = None
        self._over = False

    @property
    def worker(self) -> int:
        return self.flight.instance_id if self.flight is not None else 0

    @property
    def result(self) -> Prefilled:
        card = self._remote.model.cards.get(self.worker)
        usage = self._last.usage if self._last is not None else None
        cached = usage.cached_tokens if usage is not None else 0
        service = card.instance.service if card is not None else ""
        return Prefilled(self.worker, service, self.began, perf_counter() - self.began, cached)

    def outfit(self, request: EngineRequest, worker: int) -> EngineRequest:
        """Tell that worker where both will meet, if it must know. Raises TransferFailed when that is settled."""
        handover = self._remote.handover_for(worker)
        if self.at_once and self.sent:
            raise TransferFailed(f"the prefill worker is lost with which the decode worker was to meet ({worker:x})")
        self.at_once = handover is not None
        self.handover = handover
        return request if handover is None else replace(request, handover=handover)

    def cancel(self) -> None:
        """Nobody needs it any more. Idempotent."""
        if not self._over:
            self._over = True
            if self.flight is not None:
                self.flight.cancel()

    # Reader

    def on_frame(self, deltas: list[Any]) -> None:
        self._last = deltas[-1]

    def on_end(self) -> None:
        last = self._last
        if last is not None and last.finish_reason == "error":
            self.on_error(EngineFailed(last.text or "the prefill worker failed on this request"))
        elif not self.at_once and (last is None or last.handover is None):
            self.on_error(TransferFailed(f"worker {self.worker:x} has not said where it keeps what it computed"))
        else:
            if last is not None and last.handover is not None:
                self.handover = last.handover
            self._end(None)

    def on_error(self, error: DynamoError) -> None:
        self._end(error)

    def forget(self) -> bool:
        self._last = None
        return True

    def _end(self, error: DynamoError | None) -> None:
        if not self._over:
            self._over = True
            self._counts.prefills += error is None
            self._done(self, error)
