"""KV-aware routing of one model between live workers."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Sequence
from time import monotonic

import msgspec

from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.protocol.instance import EndpointId, ModelCard
from dynamo_cli.protocol.kv import KvEvent, block_hashes
from dynamo_cli.protocol.sequences import SequenceEvent
from dynamo_cli.router.active import Publish
from dynamo_cli.router.affinity import SessionAffinity
from dynamo_cli.router.core import KvRouter
from dynamo_cli.router.index import ApproximateIndex
from dynamo_cli.router.load import Booking
from dynamo_cli.router.policies import make_policy
from dynamo_cli.router.policies.base import Overrides, RoutingRequest
from dynamo_cli.router.weighed import Weighed
from dynamo_cli.routing.hints import NO_HINTS, RoutingHints
from dynamo_cli.routing.kv_counts import KvCounts
from dynamo_cli.routing.kv_diagnosis import KvDiagnosis
from dynamo_cli.routing.kv_feed import KvFeed
from dynamo_cli.routing.kv_options import DEFAULT_BLOCK_SIZE, KvRoutingOptions
from dynamo_cli.routing.placing import Placed, Placer
from dynamo_cli.routing.registry import RoutedModel
from dynamo_cli.routing.shared_sequences import SharedSequences

Clock = Callable[[], float]
log = logging.getLogger(__name__)


class KvPlaced:
    """A request that a KvRouter has routed. `router` is that of the placer as it was then.

    `teaches`: the worker, if there is something in the prompt that it can tell of.
    """

    __slots__ = (
        "_booking",
        "_next",
        "_placer",
        "_request_id",
        "_router",
        "_teaches",
        "_tracks",
        "kv_hit_rate",
        "weighed",
    )

    def __init__(
        self,
        placer: KvPlacer,
        router: KvRouter,
        request_id: str,
        teaches: int | None,
        booking: Booking,
        kv_hit_rate: float,
        weighed: Weighed,
    ) -> None:
        self.kv_hit_rate: float | None = kv_hit_rate
        self.weighed: Weighed | None = weighed
        self._placer = placer
        self._router: KvRouter | None = router
        self._request_id = request_id
        self._teaches = teaches
        self._booking = booking
        self._tracks = placer.options.track_output_blocks
        self._next = 0

    def heard(self, tokens: int) -> bool:
        router = self._router
        if router is None:
            return False
        if not self._next:
            now = self._placer.clock()
            self._booking.answered()
            router.first_token(self._request_id, now)
            if self._teaches is not None:
                self._placer.diagnosis.answered(self._teaches, now)
            self._next = router.block_size
        elif tokens >= self._next:
            router.output(self._request_id, tokens, self._placer.clock())
            self._next = tokens - tokens % router.block_size + router.block_size
        return self._tracks

    def over(self) -> None:
        router, self._router = self._router, None
        if router is not None:
            self._booking.over()
            router.free(self._request_id, self._placer.clock())


class KvPlacer(Placer):
    """Keeps a KvRouter in step with the model's workers. `clock`: seconds, never going back.

    `followed`: the workers whose events are believed, with their endpoints.
    """

    def __init__(
        self,
        model: RoutedModel,
        options: KvRoutingOptions,
        rng: random.Random,
        clock: Clock = monotonic,
        feed: KvFeed | None = None,
        shared: SharedSequences | None = None,
    ) -> None:
        super().__init__(model)
        self._feed = feed
        self._router_id = shared.router_id if shared is not None else ""
        self._publish: Publish | None = None
        self.followed: dict[int, EndpointId] = {}
        self.options = options
        self.clock = clock
        self.counts = KvCounts()
        self.diagnosis = KvDiagnosis(model)
        self._rng = rng
        self.router = self._new_router()
        self.workers_changed()
        if shared is not None:
            shared.join(model.pool, self)

    def place(
        self, request: EngineRequest, request_id: str, candidates: Sequence[int], bound: int | None, hints: RoutingHints
    ) -> tuple[int, Placed]:
        router, now, tokens = self.router, self.clock(), request.token_ids
        hashes = block_hashes(tokens, router.block_size, adapter=self.adapter_of(request))
        computes = len(tokens)
        if request.handover is not None:
            computes, hints = 0, msgspec.structs.replace(hints, overlap_credit=0.0)
        wanted = routing_request(hashes, computes, request_id, hints)
        decision = router.decide(wanted, candidates, now, bound)
        weighed = router.weighed(wanted, candidates, decision)
        router.record(wanted, decision, now)
        if log.isEnabledFor(logging.DEBUG):
            self.explain(wanted, weighed)
        worker, found = decision.worker, decision.overlap_blocks * router.block_size
        booking = self.model.loads.book(worker, len(tokens), self.model.block_size, computes)
        if not request.probe:
            self.counts.routed(worker, len(tokens), found, router.best_overlap(candidates) * router.block_size)
        hit_rate = found / len(tokens) if tokens else 0.0
        return worker, KvPlaced(self, router, request_id, worker if hashes else None, booking, hit_rate, weighed)

    def found(self, request: EngineRequest, candidates: Sequence[int]) -> dict[int, int]:
        """Tokens of the prompt that each candidate is thought to have; nothing is recorded."""
        router, tokens = self.router, request.token_ids
        hashes = block_hashes(tokens, router.block_size, adapter=self.adapter_of(request))
        prospects = router.prospects(RoutingRequest(hashes, len(tokens)), candidates, self.clock())
        return {one.worker: one.device * router.block_size for one in prospects}

    def workers_changed(self) -> None:
        """A worker that is gone takes its blocks, requests and sessions with it; a new one holds nothing yet."""
        if self._block_size != self.router.block_size:
            for worker in list(self.router.workers):
                self._leave(worker)
            self._begin_anew()
        router, cards = self.router, self.model.cards
        for worker in router.workers.keys() - cards.keys():
            router.remove_worker(worker)
            self._leave(worker)
            self.counts.left(worker)
        for worker in cards.keys() - router.workers.keys():
            card, told = cards[worker], self._is_told(cards[worker])
            guessed = card.prefix_caching and not told
            router.add_worker(worker, card.total_kv_blocks, card.max_num_batched_tokens, guessed=guessed)
            self.diagnosis.joined(worker, card, told)
            if told and self._feed is not None:
                self.followed[worker] = card.instance.endpoint
                self._feed.follow(worker, card.instance.endpoint, self)

    def hear(self, worker: int, events: list[KvEvent]) -> None:
        """Take what a worker tells of its cache."""
        if self.counts.heard(events):
            self.diagnosis.heard(worker)
        apply = self.router.apply
        for event in events:
            apply(worker, event)

    # Member of SharedSequences

    def tell(self, publish: Publish | None) -> None:
        self._publish = self.router.active.publish = publish

    def in_flight(self) -> list[SequenceEvent]:
        return self.router.active.told()

    def hear_routers(self, events: list[SequenceEvent]) -> None:
        hear, now = self.router.hear, self.clock()
        for event in events:
            hear(event, now)

    def forget_router(self, router: str) -> None:
        self.router.forget_router(router, self.clock())

    def _begin_anew(self) -> None:
        """Hash blocks of another size. What other routers have in flight stays known."""
        before = self.router
        for worker in list(before.workers):
            before.remove_worker(worker)
        self.router = self._new_router()
        self.hear_routers(before.active.heard())

    def _leave(self, worker: int) -> None:
        self.diagnosis.left(worker)
        endpoint = self.followed.pop(worker, None)
        if endpoint is not None and self._feed is not None:
            self._feed.leave(worker, endpoint)

    def explain(self, request: RoutingRequest, weighed: Weighed) -> None:
        """Say what spoke for which worker."""
        describe = self.model.describe
        lines = [
            f"{describe(one.worker)} cost {'-' if one.cost is None else f'{one.cost:.1f}'} "
            f"({one.overlap_blocks} blocks found, {one.prefill_tokens} tokens queued, {one.blocks} blocks in use, "
            f"{one.requests} requests)"
            for one in weighed.standings()
        ]
        size = f"{request.tokens} tokens, {len(request.hashes)} blocks"
        log.debug("request %s of %s: %s", request.request_id, size, "; ".join(lines))

    def adapter_of(self, request: EngineRequest) -> str:
        """That of the request, by whose name its blocks are hashed; "" for the model itself."""
        model = self.model
        is_adapter = request.model != model.name or (model.identity is not None and model.identity.base)
        return request.model if is_adapter else ""

    @property
    def _block_size(self) -> int:
        size = self.model.block_size
        return size or self.options.block_size or DEFAULT_BLOCK_SIZE

    def _is_told(self, card: ModelCard) -> bool:
        return self.options.use_events and card.kv_events and card.identity.kv_block_size > 0

    def _new_router(self) -> KvRouter:
        options = self.options
        self.diagnosis.block_size_is(self._block_size, options.block_size)
        predicted = options.predicted_ttl_s
        return KvRouter(
            make_policy(options.policy, self._rng, options.weights),
            block_size=self._block_size,
            guess=self._index(options.ttl_s if options.cache_policy == "ttl" else math.inf),
            predict=None if predicted is None else self._index(predicted),
            affinity=None if options.session_ttl_s is None else _affinity(options),
            router_id=self._router_id,
            publish=self._publish,
            track_blocks=options.track_active_blocks,
            always_freed=True,
        )

    def _index(self, ttl_s: float) -> ApproximateIndex:
        return ApproximateIndex(ttl_s, self.options.max_tree_size, self.options.prune_ratio)


def _affinity(options: KvRoutingOptions) -> SessionAffinity:
    assert options.session_ttl_s is not None
    return SessionAffinity(options.session_ttl_s, options.session_mode)


def routing_request(hashes: Sequence[int], tokens: int, request_id: str, hints: RoutingHints) -> RoutingRequest:
    """A prompt of so many tokens whose full blocks have these hashes."""
    if hints is NO_HINTS:
        return RoutingRequest(hashes, tokens, request_id)
    overrides = None
    if hints.overlap_credit is not None or hints.temperature is not None:
        overrides = Overrides(hints.overlap_credit, hints.temperature)
    return RoutingRequest(
        hashes,
        tokens,
        request_id,
        session=hints.session,
        expected_output=hints.expected_output,
        overrides=overrides,
    )
