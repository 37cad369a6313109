"""The requests in flight: what each worker still has to compute, and the blocks it cannot let go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from dynamo_cli.protocol.sequences import PrefillCompleted, SequenceAdded, SequenceEvent, SequenceFreed
from dynamo_cli.router.prefixes import PrefixTree

STALE_AFTER_S = 300.0
SWEEP_EVERY_S = 60.0


class _Sequence:
    __slots__ = (
        "expected_output",
        "hashes",
        "output",
        "overlap_blocks",
        "prefill",
        "seen",
        "session",
        "tokens",
        "worker",
    )

    def __init__(
        self,
        worker: int,
        hashes: Sequence[int],
        tokens: int,
        overlap_blocks: int,
        prefill: int,
        expected_output: int,
        seen: float,
        session: str,
    ) -> None:
        self.worker = worker
        self.hashes = hashes
        self.tokens = tokens
        self.overlap_blocks = overlap_blocks
        self.prefill = prefill
        self.expected_output = expected_output
        self.output = 0.0
        self.seen = seen
        self.session = session


_Key = str | tuple[str, str]
Publish = Callable[[SequenceEvent], object]


class Share(NamedTuple):
    """What one router has sent to one worker; `prefill_tokens` are still to be computed."""

    requests: int = 0
    prefill_tokens: int = 0


class ActiveSequences:
    """Counters by worker: `requests`; `prefill_tokens`, still to be computed; `blocks` in use by prompts, each once
    however many of a worker's requests share it; `generated`, the blocks of answers as far as `output` tells of them.

    A worker with nothing to do is in none of them, so an idle router holds empty dicts.

    Calls may be repeated, late or in any order: an unknown request is ignored, a known one that is added again has
    moved. A request nobody has spoken of for five minutes is taken for lost.

    `publish` hears what other routers have to know, now or once it is set; `hear` takes what they say, and believes
    it until they say otherwise or are forgotten. Each router speaks for its own requests alone, so all have the same
    counters once everybody has heard everything; but `generated` is of one's own requests.
    """

    def __init__(self, block_size: int, *, router: str = "", publish: Publish | None = None) -> None:
        self.publish = publish
        self.requests: dict[int, int] = {}
        self.prefill_tokens: dict[int, int] = {}
        self.blocks: dict[int, int] = {}
        self.generated: dict[int, float] = {}
        self._prefixes = PrefixTree()
        self._sequences: dict[_Key, _Sequence] = {}
        self._block_size = block_size
        self._router = router
        self._swept = float("-inf")

    def __len__(self) -> int:
        return len(self._sequences)

    def __contains__(self, key: _Key) -> bool:
        """Of a request: its id, or of another router's, that router's name and the id."""
        return key in self._sequences

    def overlaps(self, hashes: Sequence[int]) -> dict[int, int]:
        """How many of the prompt's first blocks each worker has in flight, stored or about to be."""
        return self._prefixes.overlaps(hashes)

    def add(
        self,
        request_id: str,
        worker: int,
        hashes: Sequence[int],
        tokens: int,
        overlap_blocks: int = 0,
        expected_output: int = 0,
        now: float = 0.0,
        session: str = "",
    ) -> None:
        """A request of `tokens` prompt tokens goes to a worker, which need not compute `overlap_blocks` of them."""
        self._add(request_id, worker, hashes, tokens, overlap_blocks, expected_output, now, session)
        if self.publish is not None:
            told = list(hashes), tokens, overlap_blocks, expected_output, session
            self.publish(SequenceAdded(self._router, request_id, worker, *told))

    def first_token(self, request_id: str, now: float = 0.0) -> None:
        """Its prompt has been computed."""
        if self._prefilled(request_id, now) and self.publish is not None:
            self.publish(PrefillCompleted(self._router, request_id))

    def free(self, request_id: str) -> None:
        """It has ended: answered, cancelled or failed."""
        if self._free(request_id) and self.publish is not None:
            self.publish(SequenceFreed(self._router, request_id))

    def output(self, request_id: str, tokens: int, now: float = 0.0) -> None:
        """It has `tokens` tokens of output so far. Their blocks weigh less as the expected end comes near."""
        sequence = self._sequences.get(request_id)
        if sequence is None:
            return
        sequence.seen = max(sequence.seen, now)
        blocks = float(tokens // self._block_size)
        if sequence.expected_output:
            blocks *= max(0.0, 1.0 - tokens / sequence.expected_output)
        worker = sequence.worker
        self.generated[worker] = self.generated.get(worker, 0.0) + blocks - sequence.output
        sequence.output = blocks

    def hear(self, event: SequenceEvent, now: float) -> bool:
        """Take what a router says; False for one's own words that have come back, and for what was known."""
        if event.router == self._router:
            return False
        key = event.router, event.request_id
        known = key in self._sequences
        if isinstance(event, SequenceAdded):
            what = event.hashes, event.tokens, event.overlap_blocks, event.expected_output
            self._add(key, event.worker, *what, now, event.session)
        elif isinstance(event, PrefillCompleted):
            self._prefilled(key, now)
        else:
            self._free(key)
        return known != isinstance(event, SequenceAdded)

    def forget(self, router: str) -> None:
        """Another router is gone, or begins anew: nothing of what it said counts."""
        for key in [key for key in self._sequences if isinstance(key, tuple) and key[0] == router]:
            self._free(key)

    def told(self) -> list[SequenceEvent]:
        """What this router has in flight, as events that build it from nothing."""
        return [event for key in self._sequences if isinstance(key, str) for event in self._events(key)]

    def heard(self) -> list[SequenceEvent]:
        """The same of all other routers."""
        return [event for key in self._sequences if isinstance(key, tuple) for event in self._events(key)]

    def shares(self, worker: int) -> dict[str, Share]:
        """A worker's load by who sent it."""
        shares: dict[str, Share] = {}
        for key, sequence in self._sequences.items():
            if sequence.worker == worker:
                router = self._router if isinstance(key, str) else key[0]
                share = shares.get(router, Share())
                shares[router] = Share(share.requests + 1, share.prefill_tokens + sequence.prefill)
        return shares

    def remove_worker(self, worker: int) -> None:
        """Nothing of this router's is in flight there any more. Others speak for themselves."""
        for key in [key for key, sequence in self._sequences.items() if sequence.worker == worker]:
            if isinstance(key, str):
                self.free(key)

    def sweep(self, now: float) -> list[str]:
        """Forget lost requests of this router; looks once a minute, however often it is called."""
        if now - self._swept < SWEEP_EVERY_S:
            return []
        self._swept = now
        lost = [
            key
            for key, sequence in self._sequences.items()
            if isinstance(key, str) and now - sequence.seen > STALE_AFTER_S
        ]
        for request_id in lost:
            self.free(request_id)
        return lost

    def _events(self, key: _Key) -> list[SequenceEvent]:
        sequence = self._sequences[key]
        router, request_id = (self._router, key) if isinstance(key, str) else key
        told = sequence.tokens, sequence.overlap_blocks, sequence.expected_output, sequence.session
        added = SequenceAdded(router, request_id, sequence.worker, list(sequence.hashes), *told)
        return [added] if sequence.prefill else [added, PrefillCompleted(router, request_id)]

    def _add(
        self,
        key: _Key,
        worker: int,
        hashes: Sequence[int],
        tokens: int,
        overlap_blocks: int,
        expected_output: int,
        now: float,
        session: str,
    ) -> None:
        if key in self._sequences:
            self._free(key)
        prefill = max(0, tokens - overlap_blocks * self._block_size)
        self._sequences[key] = _Sequence(worker, hashes, tokens, overlap_blocks, prefill, expected_output, now, session)
        self.requests[worker] = self.requests.get(worker, 0) + 1
        if prefill:
            self.prefill_tokens[worker] = self.prefill_tokens.get(worker, 0) + prefill
        fresh = self._prefixes.add(worker, hashes)
        if fresh:
            self.blocks[worker] = self.blocks.get(worker, 0) + fresh

    def _prefilled(self, key: _Key, now: float) -> bool:
        sequence = self._sequences.get(key)
        if sequence is None:
            return False
        sequence.seen = max(sequence.seen, now)
        _subtract(self.prefill_tokens, sequence.worker, sequence.prefill)
        sequence.prefill = 0
        return True

    def _free(self, key: _Key) -> bool:
        sequence = self._sequences.pop(key, None)
        if sequence is None:
            return False
        worker = sequence.worker
        _subtract(self.prefill_tokens, worker, sequence.prefill)
        _subtract(self.blocks, worker, self._prefixes.remove(worker, sequence.hashes))
        _subtract(self.requests, worker, 1)
        if sequence.output:
            self.generated[worker] -= sequence.output
        if worker not in self.requests:
            self.generated.pop(worker, None)
        return True


def _subtract(counters: dict[int, int], worker: int, amount: int) -> None:
    if amount:
        left = counters[worker] - amount
        if left:
            counters[worker] = left
        else:
            del counters[worker]
