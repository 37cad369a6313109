"""KV-aware routing of one model between live workers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from time import monotonic

from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.protocol.instance import EndpointId, ModelCard
from dynamo_cli.protocol.kv import KvEvent, block_hashes
from dynamo_cli.router.affinity import SessionAffinity
from dynamo_cli.router.core import KvRouter
from dynamo_cli.router.index import ApproximateIndex
from dynamo_cli.router.load import Booking
from dynamo_cli.router.policies import make_policy
from dynamo_cli.router.policies.base import Overrides, RoutingRequest
from dynamo_cli.routing.hints import NO_HINTS, RoutingHints
from dynamo_cli.routing.kv_feed import KvFeed
from dynamo_cli.routing.kv_options import KvRoutingOptions
from dynamo_cli.routing.placing import Placed, Placer
from dynamo_cli.routing.registry import RoutedModel

Clock = Callable[[], float]


class KvPlaced:
    """A request that a KvRouter has routed."""

    __slots__ = ("_booking", "_clock", "_next", "_request_id", "_router", "_tracks", "kv_hit_rate")

    def __init__(
        self, router: KvRouter, clock: Clock, request_id: str, booking: Booking, kv_hit_rate: float, tracks: bool
    ) -> None:
        self.kv_hit_rate: float | None = kv_hit_rate
        self._router: KvRouter | None = router
        self._clock = clock
        self._request_id = request_id
        self._booking = booking
        self._tracks = tracks
        self._next = 0

    def heard(self, tokens: int) -> bool:
        router = self._router
        if router is None:
            return False
        if not self._next:
            self._booking.answered()
            router.first_token(self._request_id, self._clock())
            self._next = router.block_size
        elif tokens >= self._next:
            router.output(self._request_id, tokens, self._clock())
            self._next = tokens - tokens % router.block_size + router.block_size
        return self._tracks

    def over(self) -> None:
        router, self._router = self._router, None
        if router is not None:
            self._booking.over()
            router.free(self._request_id, self._clock())


class KvPlacer(Placer):
    """Keeps a KvRouter in step with the model's workers. `clock`: seconds, never going back."""

    def __init__(
        self,
        model: RoutedModel,
        options: KvRoutingOptions,
        rng: random.Random,
        clock: Clock = monotonic,
        feed: KvFeed | None = None,
    ) -> None:
        super().__init__(model)
        self._feed = feed
        self._followed: dict[int, EndpointId] = {}
        self._options = options
        self._rng = rng
        self._clock = clock
        self.router = self._new_router()
        self.workers_changed()

    def place(
        self, request: EngineRequest, request_id: str, candidates: Sequence[int], pinned: bool, hints: RoutingHints
    ) -> tuple[int, Placed]:
        router, clock, tokens = self.router, self._clock, request.token_ids
        hashes = block_hashes(tokens, router.block_size)
        if hints is NO_HINTS:
            wanted = RoutingRequest(hashes, len(tokens), request_id)
        else:
            wanted = _with_hints(hashes, len(tokens), request_id, hints)
        decision = router.route(wanted, candidates, clock())
        worker = decision.worker
        booking = self.model.loads.book(worker, len(tokens), self.model.block_size)
        hit_rate = decision.overlap_blocks * router.block_size / len(tokens) if tokens else 0.0
        return worker, KvPlaced(router, clock, request_id, booking, hit_rate, self._options.track_output_blocks)

    def workers_changed(self) -> None:
        """A worker that is gone takes its blocks, requests and sessions with it; a new one holds nothing yet."""
        if self._block_size != self.router.block_size:
            for worker in list(self._followed):
                self._leave(worker)
            self.router = self._new_router()
        router, cards = self.router, self.model.cards
        for worker in router.workers.keys() - cards.keys():
            router.remove_worker(worker)
            self._leave(worker)
        for worker in cards.keys() - router.workers.keys():
            card, told = cards[worker], self._is_told(cards[worker])
            router.add_worker(worker, card.total_kv_blocks, card.max_num_batched_tokens, guessed=not told)
            if told and self._feed is not None:
                self._followed[worker] = card.instance.endpoint
                self._feed.follow(worker, card.instance.endpoint, self)

    def hear(self, worker: int, events: list[KvEvent]) -> None:
        """Take what a worker tells of its cache."""
        apply = self.router.apply
        for event in events:
            apply(worker, event)

    def _leave(self, worker: int) -> None:
        endpoint = self._followed.pop(worker, None)
        if endpoint is not None and self._feed is not None:
            self._feed.leave(worker, endpoint)

    @property
    def _block_size(self) -> int:
        return self.model.block_size or self._options.block_size

    def _is_told(self, card: ModelCard) -> bool:
        return self._options.use_events and card.kv_events and card.identity.kv_block_size > 0

    def _new_router(self) -> KvRouter:
        options = self._options
        predicted = options.predicted_ttl_s
        return KvRouter(
            make_policy(options.policy, self._rng, options.weights),
            block_size=self._block_size,
            guess=self._index(options.ttl_s),
            predict=None if predicted is None else self._index(predicted),
            affinity=None if options.session_ttl_s is None else _affinity(options),
            track_blocks=options.track_active_blocks,
        )

    def _index(self, ttl_s: float) -> ApproximateIndex:
        return ApproximateIndex(ttl_s, self._options.max_tree_size, self._options.prune_ratio)


def _affinity(options: KvRoutingOptions) -> SessionAffinity:
    assert options.session_ttl_s is not None
    return SessionAffinity(options.session_ttl_s, options.session_mode)


def _with_hints(hashes: Sequence[int], tokens: int, request_id: str, hints: RoutingHints) -> RoutingRequest:
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
