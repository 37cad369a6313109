"""What a router process knows of one model's workers, and its answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import islice
from logging import DEBUG
from time import monotonic

from dynamo_cli.errors import InvalidRequest, NoInstances
from dynamo_cli.protocol.kv import KvEvent, block_hashes
from dynamo_cli.protocol.router_service import (
    Advice,
    Dumped,
    OverlapScore,
    PotentialLoad,
    RoutingQuestion,
    Sequences,
    WorkerBlocks,
)
from dynamo_cli.protocol.sequences import PrefillCompleted, SequenceAdded, SequenceEvent, SequenceFreed
from dynamo_cli.router.active import Publish
from dynamo_cli.router.core import Prospect
from dynamo_cli.router.policies.base import Decision, RoutingRequest
from dynamo_cli.routing.hints import RoutingHints
from dynamo_cli.routing.kv_feed import KvFeed
from dynamo_cli.routing.kv_options import KvRoutingOptions
from dynamo_cli.routing.kv_placing import KvPlacer, log, routing_request
from dynamo_cli.routing.registry import RoutedModel
from dynamo_cli.routing.service.unconfirmed import Unconfirmed
from dynamo_cli.routing.shared_sequences import Member, SharedSequences

_EVENTS_AN_ANSWER = 64


class ModelAdviser(Member):
    """Holds the same as a frontend in mode kv does, and routes nothing itself: all in flight is what frontends tell.

    A recorded answer counts as if the frontend had told of it, until it does: it may then say another worker, and
    silence takes it back.
    """

    def __init__(
        self,
        model: RoutedModel,
        options: KvRoutingOptions,
        feed: KvFeed | None,
        shared: SharedSequences,
        rng: random.Random | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.placer = KvPlacer(model, options, rng or random.Random(), clock, feed)
        self.unconfirmed = Unconfirmed()
        self._clock = clock
        shared.join(model.name, self)

    def best_worker(self, question: RoutingQuestion) -> Advice:
        """Raises InvalidRequest for what cannot be, NoInstances when no candidate is known."""
        self.expire()
        placer, router, now = self.placer, self.placer.router, self._clock()
        wanted, candidates = self._read(question)
        if question.record and not (question.router and question.request_id):
            raise InvalidRequest("to record a request its router and request_id are needed", "record")
        decision = router.decide(wanted, candidates, now)
        if log.isEnabledFor(DEBUG):
            placer.explain(wanted, router.weighed(wanted, candidates, decision))
        if not question.record:
            return Advice(decision.worker, decision.overlap_blocks, _costs(decision, candidates))
        found, best = decision.overlap_blocks * router.block_size, router.best_overlap(candidates) * router.block_size
        placer.counts.routed(decision.worker, wanted.tokens, found, best)
        self._record(question, wanted, decision, now)
        return Advice(decision.worker, decision.overlap_blocks)

    def overlap_scores(self, question: RoutingQuestion) -> list[OverlapScore]:
        return [OverlapScore(one.worker, one.device, one.host, one.disk) for one in self._prospects(question)]

    def potential_loads(self, question: RoutingQuestion) -> list[PotentialLoad]:
        return [
            PotentialLoad(one.worker, one.prefill_tokens, one.blocks, one.requests) for one in self._prospects(question)
        ]

    def dump(self) -> Iterator[Dumped]:
        """All that is known, in pieces; what changes while it is read is in it or not."""
        router, name = self.placer.router, self.placer.model.name
        for worker in list(router.workers):
            events: Iterator[KvEvent] = iter(list(router.held(worker)))
            while some := list(islice(events, _EVENTS_AN_ANSWER)):
                yield WorkerBlocks(name, worker, some)
        sequences = iter(router.active.heard())
        while told := list(islice(sequences, _EVENTS_AN_ANSWER)):
            yield Sequences(name, told)

    def expire(self) -> None:
        """Take back what nobody has confirmed."""
        if self.unconfirmed:
            now, hear = self._clock(), self.placer.router.hear
            for key in self.unconfirmed.take_expired(now):
                hear(SequenceFreed(*key), now)

    # Member of SharedSequences

    def tell(self, publish: Publish | None) -> None:
        """It has nothing of its own to tell."""

    def in_flight(self) -> list[SequenceEvent]:
        return []

    def hear_routers(self, events: list[SequenceEvent]) -> None:
        if self.unconfirmed:
            for event in events:
                if isinstance(event, PrefillCompleted):
                    continue
                advised = self.unconfirmed.confirm((event.router, event.request_id))
                if advised is not None and isinstance(event, SequenceAdded) and event.worker != advised:
                    # It has gone elsewhere, so that is where its work is, and nothing of it here.
                    self.placer.hear_routers([SequenceFreed(event.router, event.request_id)])
        self.placer.hear_routers(events)

    def forget_router(self, router: str) -> None:
        self.unconfirmed.forget(router)
        self.placer.forget_router(router)

    def _record(self, question: RoutingQuestion, wanted: RoutingRequest, decision: Decision, now: float) -> None:
        key = question.router, question.request_id
        router = self.placer.router
        if key in router.active and key not in self.unconfirmed:
            return  # its frontend was quicker to decide by itself
        told = list(wanted.hashes), wanted.tokens, decision.overlap_blocks, wanted.expected_output, wanted.session
        router.hear(SequenceAdded(key[0], key[1], decision.worker, *told), now)
        self.unconfirmed.add(key, decision.worker, now)

    def _prospects(self, question: RoutingQuestion) -> list[Prospect]:
        self.expire()
        wanted, candidates = self._read(question)
        return self.placer.router.prospects(wanted, candidates, self._clock())

    def _read(self, question: RoutingQuestion) -> tuple[RoutingRequest, list[int]]:
        placer, size = self.placer, self.placer.router.block_size
        name, tokens, hashes = placer.model.name, question.tokens, question.hashes
        if question.token_ids is not None:
            tokens, hashes = len(question.token_ids), _hashed(question.token_ids, size)
        elif hashes and question.block_size != size:
            what = f"the blocks of {name} have {size} tokens, those of the question {question.block_size}"
            raise InvalidRequest(f"{what}: give token_ids, or hashes of the same blocks", "block_size")
        elif len(hashes) * size > tokens:
            raise InvalidRequest(f"{len(hashes)} blocks of {size} tokens are more than tokens, {tokens}", "tokens")
        known = placer.router.workers
        candidates = [one for one in question.candidates or placer.model.candidates if one in known]
        if not candidates:
            raise NoInstances(f"this router knows none of the workers that could take a request of model {name}")
        hints = RoutingHints(question.session, question.expected_output, question.overlap_credit, question.temperature)
        return routing_request(hashes, tokens, question.request_id, hints), candidates


def _costs(decision: Decision, candidates: list[int]) -> dict[int, float]:
    """By worker; of a session that is bound there is only its own worker's."""
    costs = decision.costs or ()
    return dict(zip(candidates if len(costs) == len(candidates) else [decision.worker], costs, strict=False))


def _hashed(token_ids: list[int], block_size: int) -> list[int]:
    try:
        return block_hashes(token_ids, block_size)
    except OverflowError:
        raise InvalidRequest("a token id has more than 32 bits", "token_ids") from None
