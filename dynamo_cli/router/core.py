"""KV-aware routing as one object: what is known of the workers, what is in flight, and the choice.

The frontend and the replay of traces use this same object. It does no I/O and reads no clock: `now` is in seconds, of
any clock that does not go back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from dynamo_cli.errors import UsageError
from dynamo_cli.protocol.kv import Cleared, KvEvent, Stored, Tier
from dynamo_cli.protocol.sequences import SequenceAdded, SequenceEvent, SequenceFreed
from dynamo_cli.router.active import ActiveSequences, Publish
from dynamo_cli.router.affinity import SessionAffinity
from dynamo_cli.router.index import ApproximateIndex, EventIndex, Overlaps
from dynamo_cli.router.policies.base import Decision, Policy, RoutingRequest, State
from dynamo_cli.router.recent import RecentWork
from dynamo_cli.router.weighed import Weighed


class Worker(msgspec.Struct, frozen=True):
    """What a worker tells of itself; 0 is unknown."""

    total_blocks: int = 0
    max_num_batched_tokens: int = 0


class Prospect(NamedTuple):
    """A worker with one more request. `device`: blocks of its prompt there, stored or on their way; `host` and `disk`
    go on from there. What follows is of all its requests, this one among them.
    """

    worker: int
    device: int
    host: int
    disk: int
    prefill_tokens: int
    blocks: int
    requests: int


class KvRouter:
    """Routes requests whose prompts are hashed in blocks of `block_size` tokens.

    `guess`: of workers that send no events; what they hold is guessed from what was routed to them. `predict`, with
    events: blocks routed less than its TTL ago count as present, also when their request has already ended.
    `track_blocks`: know which blocks are in use by requests in flight. `always_freed`: whoever routes says `free` for
    certain, so a request of which nobody speaks for long is just a long one.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        block_size: int,
        guess: ApproximateIndex | None = None,
        predict: ApproximateIndex | None = None,
        affinity: SessionAffinity | None = None,
        router_id: str = "",
        publish: Publish | None = None,
        track_blocks: bool = True,
        always_freed: bool = False,
    ) -> None:
        self.block_size = block_size
        self.workers: dict[int, Worker] = {}
        self.active = ActiveSequences(block_size, router=router_id, publish=publish)
        self._router_id = router_id
        self.index = EventIndex()
        self.recent = RecentWork()
        self.unheard = 0
        self._policy = policy
        self._guess = guess
        self._predict = predict
        self._guessed: set[int] = set()
        self._track_blocks = track_blocks
        self._always_freed = always_freed
        self._affinity = affinity
        self._sessions: dict[tuple[str, str], tuple[str, int]] = {}
        active, recent = self.active, self.recent
        self._state = State(
            active.requests,
            active.prefill_tokens,
            active.blocks,
            active.generated,
            recent=recent.levels,
            block_size=block_size,
        )

    def add_worker(
        self,
        worker: int,
        total_blocks: int = 0,
        max_num_batched_tokens: int = 0,
        block_size: int | None = None,
        guessed: bool = True,
    ) -> None:
        """A worker that holds nothing yet: a new one, or one that has started again.

        `total_blocks`: its KV cache, `max_num_batched_tokens`: of one step; 0 is unknown. `guessed`: it sends no
        events; means nothing without `guess`. Raises UsageError for another block size, with which no block of it
        would ever be found.
        """
        if block_size not in (None, self.block_size):
            raise UsageError(
                f"worker {worker:x} has KV blocks of {block_size} tokens, this router hashes blocks of "
                f"{self.block_size}: give all workers of a model the same block size"
            )
        self.remove_worker(worker)
        self.workers[worker] = Worker(total_blocks, max_num_batched_tokens)
        self.index.add_worker(worker, total_blocks)
        self.recent.add_worker(worker)
        if self._guess is not None and guessed:
            self._guessed.add(worker)
            self._guess.add_worker(worker, total_blocks)
        if self._predict is not None:
            self._predict.add_worker(worker, total_blocks)

    def remove_worker(self, worker: int) -> None:
        """A worker that is gone: its blocks, its requests and its sessions are forgotten.

        What other routers have there is theirs to take back; it weighs nothing while the worker is no candidate.
        """
        if self.workers.pop(worker, None) is None:
            return
        self.index.remove_worker(worker)
        self.recent.remove_worker(worker)
        self.active.remove_worker(worker)
        self._guessed.discard(worker)
        for guesses in (self._guess, self._predict):
            if guesses is not None:
                guesses.remove_worker(worker)
        if self._affinity is not None:
            self._affinity.remove_worker(worker)

    def apply(self, worker: int, event: KvEvent) -> None:
        """Take a worker's event. Events of workers that are not (or no longer) known are counted in `unheard`."""
        if worker not in self.workers:
            self.unheard += 1
            return
        self.index.apply(worker, event)
        if isinstance(event, Cleared):
            for guesses in (self._guess, self._predict):
                if guesses is not None:
                    guesses.clear(worker)

    def decide(
        self, request: RoutingRequest, candidates: Sequence[int], now: float, bound: int | None = None
    ) -> Decision:
        """Who should get the request, of `candidates` (never empty); nothing is recorded.

        `bound`: the one of them that somebody else has chosen already.
        """
        state = self._look(request, candidates, now)
        if bound is None:
            bound = self._bound(request, candidates, now)
        return self._policy.decide(request, candidates if bound is None else (bound,), state, now)

    def known_blocks(self, worker: int) -> int:
        """Blocks on the worker's device, as it told or as is guessed."""
        if self._guess is not None and worker in self._guessed:
            return self._guess.held(worker)
        return self.index.device.held(worker)

    def blocks_of(self, worker: int, tier: Tier = "device") -> list[int]:
        """The blocks in a tier of the worker, as it told or as is guessed, in no order."""
        return [block for event in self.held(worker) if event.tier == tier for block in event.hashes]

    def best_overlap(self, candidates: Sequence[int]) -> int:
        """The most blocks that one of them had of the prompt decided on last."""
        device, predicted = self._state.stored.device, self._state.predicted
        if not device and not predicted:
            return 0
        best = 0
        for found in (device, predicted):
            for worker, blocks in found.items():
                if blocks > best and worker in candidates:
                    best = blocks
        return best

    def weighed(self, request: RoutingRequest, candidates: Sequence[int], decision: Decision) -> Weighed:
        """What `decide` has just looked at for this request; call it before anything is recorded."""
        state, active = self._state, self.active
        return Weighed(
            decision.worker,
            len(request.hashes),
            candidates,
            decision.costs,
            state.stored.device,
            state.predicted,
            active.prefill_tokens.copy(),
            active.blocks.copy(),
            active.requests.copy(),
        )

    def prospects(self, request: RoutingRequest, candidates: Sequence[int], now: float) -> list[Prospect]:
        """What the request would find and bring, by candidate; nothing is recorded."""
        stored, active = self._stored(request.hashes, candidates, now), self.active
        on_their_way = active.overlaps(request.hashes)
        return [self._prospect(request, one, stored, on_their_way.get(one, 0)) for one in candidates]

    def _prospect(self, request: RoutingRequest, worker: int, stored: Overlaps, on_their_way: int) -> Prospect:
        active, found = self.active, max(stored.device.get(worker, 0), on_their_way)
        return Prospect(
            worker,
            found,
            stored.host.get(worker, 0),
            stored.disk.get(worker, 0),
            active.prefill_tokens.get(worker, 0) + max(0, request.tokens - found * self.block_size),
            active.blocks.get(worker, 0) + len(request.hashes) - on_their_way,
            active.requests.get(worker, 0) + 1,
        )

    def held(self, worker: int) -> Iterator[Stored]:
        """What the worker holds, as it told or as is guessed: events that build it from nothing."""
        if self._guess is not None and worker in self._guessed:
            return map(Stored, self._guess.blocks(worker))
        return self.index.events(worker)

    def route(
        self, request: RoutingRequest, candidates: Sequence[int], now: float, bound: int | None = None
    ) -> Decision:
        """Decide, and count the request as active there at once, so that the next one sees it.

        One candidate is a choice made by the caller. Whoever routes says `first_token` and `free` for the same
        request id. A request that is routed again has moved.
        """
        if not self._always_freed:
            for lost in self.active.sweep(now):
                self._end_session(self._router_id, lost, now)
        decision = self.decide(request, candidates, now, bound)
        self.record(request, decision, now)
        return decision

    def record(self, request: RoutingRequest, decision: Decision, now: float) -> None:
        """Count the request as active where `decide` has sent it: the other half of `route`."""
        hashes, request_id = request.hashes, request.request_id
        worker, overlap_blocks = decision.worker, decision.overlap_blocks
        tracked = hashes if self._track_blocks else ()
        told = request.tokens, overlap_blocks, request.expected_output, now, request.session
        self.active.add(request_id, worker, tracked, *told)
        self._computes(worker, request.tokens, overlap_blocks, now)
        self._guess_stored(worker, hashes, now)
        self._start_session(self._router_id, request_id, request.session, worker, now)

    def hear(self, event: SequenceEvent, now: float) -> None:
        """Take what another router of the same workers says of its requests; one's own words are ignored.

        The worker may still be unknown here: who routed there has seen it first.
        """
        if self.active.hear(event, now) and isinstance(event, SequenceAdded):
            self._computes(event.worker, event.tokens, event.overlap_blocks, now)
            self._guess_stored(event.worker, event.hashes, now)
        if self._affinity is None or event.router == self._router_id:
            return
        if isinstance(event, SequenceAdded):
            self._start_session(event.router, event.request_id, event.session, event.worker, now)
        elif isinstance(event, SequenceFreed):
            self._end_session(event.router, event.request_id, now)

    def forget_router(self, router: str, now: float) -> None:
        """Another router is gone, or says everything anew: none of its requests is in flight."""
        self.active.forget(router)
        for name, request_id in [key for key in self._sessions if key[0] == router]:
            self._end_session(name, request_id, now)

    def first_token(self, request_id: str, now: float = 0.0) -> None:
        self.active.first_token(request_id, now)

    def output(self, request_id: str, tokens: int, now: float = 0.0) -> None:
        """It has `tokens` tokens of output so far; calling this is a choice."""
        self.active.output(request_id, tokens, now)

    def free(self, request_id: str, now: float = 0.0) -> None:
        """It has ended, however; more calls do nothing."""
        self.active.free(request_id)
        self._end_session(self._router_id, request_id, now)

    def _look(self, request: RoutingRequest, candidates: Sequence[int], now: float) -> State:
        state = self._state
        if self._policy.looks_at_blocks:
            hashes = request.hashes
            state.predicted = self.active.overlaps(hashes)
            state.recent_unit = self.recent.unit(now)
            state.stored = self._stored(hashes, candidates, now)
        return state

    def _stored(self, hashes: Sequence[int], candidates: Sequence[int], now: float) -> Overlaps:
        guessed = self._guess.overlaps(hashes, now) if self._guess is not None and self._guessed else {}
        if len(self._guessed) == len(self.workers):
            return Overlaps(guessed, {}, {})
        stored = self.index.overlaps(hashes, candidates)
        if self._predict is not None:
            stored = _with_predicted(stored, self._predict.overlaps(hashes, now))
        return stored._replace(device={**stored.device, **guessed}) if guessed else stored

    def _bound(self, request: RoutingRequest, candidates: Sequence[int], now: float) -> int | None:
        affinity = self._affinity
        if affinity is None or not request.session:
            return None
        worker = affinity.worker(request.session, candidates, now)
        if worker is None:
            return None
        queued = self.active.prefill_tokens
        least = min(queued.get(one, 0) for one in candidates)
        return worker if affinity.prefers(queued.get(worker, 0), least, request.tokens) else None

    def _computes(self, worker: int, tokens: int, overlap_blocks: int, now: float) -> None:
        self.recent.add(worker, max(0, tokens - overlap_blocks * self.block_size), now)

    def _guess_stored(self, worker: int, hashes: Sequence[int], now: float) -> None:
        for guesses in (self._guess, self._predict):
            if guesses is not None:
                guesses.routed(worker, hashes, now)

    def _start_session(self, router: str, request_id: str, session: str, worker: int, now: float) -> None:
        if self._affinity is not None and session:
            self._end_session(router, request_id, now)
            self._affinity.started(session, worker, now)
            self._sessions[router, request_id] = session, worker

    def _end_session(self, router: str, request_id: str, now: float) -> None:
        if not self._sessions:
            return
        entry = self._sessions.pop((router, request_id), None)
        if entry is not None and self._affinity is not None:
            self._affinity.ended(*entry, now)


def _with_predicted(stored: Overlaps, predicted: dict[int, int]) -> Overlaps:
    """The larger of both; what a slower tier holds beyond counts for less by as much."""
    device, host, disk = dict(stored.device), dict(stored.host), dict(stored.disk)
    for worker, blocks in predicted.items():
        ahead = blocks - device.get(worker, 0)
        if ahead > 0:
            device[worker] = blocks
            for tier in (host, disk):
                covered = min(ahead, tier.get(worker, 0))
                if covered:
                    tier[worker] -= covered
                    ahead -= covered
    return Overlaps(device, host, disk)
