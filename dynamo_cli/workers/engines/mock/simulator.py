"""A continuously batching engine as a plain object: `step(now)` decides, nothing here waits or does I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dynamo_cli.protocol.engine import FinishReason
from dynamo_cli.workers.engines.mock.blocks import BlockPool
from dynamo_cli.workers.engines.mock.timing import StepClock
from dynamo_cli.workers.engines.mock.tokens import absorb, absorb_all, initial_state, pick

Emit = Callable[[int | None, "FinishReason | None"], None]


class Generation:
    """One sequence on its way. `emit(token, finish)` is for the shell that delivers a step's outputs."""

    __slots__ = (
        "active",
        "done",
        "emit",
        "generated",
        "max_tokens",
        "min_tokens",
        "prefilled",
        "prompt_tokens",
        "reserved",
        "state",
        "stop_token_ids",
    )

    def __init__(
        self,
        state: int,
        prompt_tokens: int,
        max_tokens: int,
        *,
        min_tokens: int = 0,
        stop_token_ids: frozenset[int] = frozenset(),
        emit: Emit = lambda token, finish: None,
    ) -> None:
        self.state = state
        self.prompt_tokens = prompt_tokens
        self.max_tokens = max_tokens
        self.min_tokens = min_tokens
        self.stop_token_ids = stop_token_ids
        self.emit = emit
        self.prefilled = 0
        self.generated = 0
        self.reserved = 0
        self.active = 0
        self.done = False


@dataclass(frozen=True)
class Step:
    """What one forward pass did: `outputs` are known when it ends at `ends_at` (the caller's clock, seconds)."""

    ends_at: float
    outputs: list[tuple[Generation, int | None, FinishReason | None]]
    prefill_tokens: int
    decoding: int

    def deliver(self) -> None:
        for generation, token, finish in self.outputs:
            generation.emit(token, finish)


class Simulator:
    """Chunked prefill within a token budget, then decoding; first come, first served.

    The KV cache only counts blocks: a request waits until the blocks it may need are free.
    """

    def __init__(
        self,
        *,
        vocabulary: Sequence[int],
        clock: StepClock,
        pool: BlockPool,
        max_num_seqs: int = 256,
        max_num_batched_tokens: int = 8192,
        seed: int = 0,
    ) -> None:
        self.pool = pool
        self.waiting: deque[Generation] = deque()
        self.prefilling: list[Generation] = []
        self.decoding: list[Generation] = []
        self._vocabulary = vocabulary
        self._clock = clock
        self._max_num_seqs = max_num_seqs
        self._budget = max_num_batched_tokens
        self._seed_state = initial_state(seed)

    def state_of(self, token_ids: Sequence[int]) -> int:
        """Where a generation that continues `token_ids` begins."""
        return absorb_all(self._seed_state, token_ids)

    def add(self, generation: Generation) -> None:
        generation.reserved = self.pool.blocks_for(generation.prompt_tokens + generation.max_tokens)
        self.waiting.append(generation)

    def abort(self, generation: Generation) -> None:
        """Forget it and free its blocks; idempotent."""
        if generation.done:
            return
        if generation in self.waiting:
            self.waiting.remove(generation)
            generation.done = True
            return
        (self.prefilling if generation in self.prefilling else self.decoding).remove(generation)
        self._finish(generation)

    def step(self, now: float) -> Step | None:
        """Run one batch that starts at `now`; None when there is nothing to do."""
        prefilled, prefill_tokens = self._prefill(self._budget - len(self.decoding))
        decoding = len(self.decoding)
        if not decoding and not prefill_tokens:
            return None
        self._grow_decoding()
        seconds = self._clock.seconds(prefill_tokens, decoding > 0, self.pool.occupancy)
        self.decoding += prefilled
        return Step(now + seconds, self._next_tokens(), prefill_tokens, decoding)

    def _prefill(self, budget: int) -> tuple[list[Generation], int]:
        """Prefill within the budget; returns the sequences whose prompt is now complete and the tokens spent."""
        self._admit(budget)
        finished: list[Generation] = []
        left = budget
        for generation in self.prefilling:
            chunk = min(left, generation.prompt_tokens - generation.prefilled)
            if not chunk:
                break
            left -= chunk
            generation.prefilled += chunk
            self._occupy(generation, generation.prefilled)
            if generation.prefilled == generation.prompt_tokens:
                finished.append(generation)
        del self.prefilling[: len(finished)]
        return finished, budget - left

    def _admit(self, budget: int) -> None:
        room = budget - sum(generation.prompt_tokens - generation.prefilled for generation in self.prefilling)
        while self.waiting and room > 0 and len(self.prefilling) + len(self.decoding) < self._max_num_seqs:
            if not self.pool.reserve(self.waiting[0].reserved):
                return
            generation = self.waiting.popleft()
            self.prefilling.append(generation)
            room -= generation.prompt_tokens

    def _grow_decoding(self) -> None:
        block_size = self.pool.block_size
        for generation in self.decoding:
            tokens = generation.prompt_tokens + generation.generated
            if tokens > generation.active * block_size:
                self._occupy(generation, tokens)

    def _occupy(self, generation: Generation, tokens: int) -> None:
        blocks = self.pool.blocks_for(tokens)
        self.pool.active += blocks - generation.active
        generation.active = blocks

    def _next_tokens(self) -> list[tuple[Generation, int | None, FinishReason | None]]:
        vocabulary = self._vocabulary
        choices = len(vocabulary)
        outputs: list[tuple[Generation, int | None, FinishReason | None]] = []
        ended = False
        for generation in self.decoding:
            token: int | None = vocabulary[pick(generation.state, choices)]
            finish: FinishReason | None = None
            if token in generation.stop_token_ids and generation.generated >= generation.min_tokens:
                token, finish = None, "stop"
            else:
                generation.state = absorb(generation.state, token)  # type: ignore[arg-type]
                generation.generated += 1
                if generation.generated == generation.max_tokens:
                    finish = "length"
            if finish is not None:
                self._finish(generation)
                ended = True
            outputs.append((generation, token, finish))
        if ended:
            self.decoding = [generation for generation in self.decoding if not generation.done]
        return outputs

    def _finish(self, generation: Generation) -> None:
        self.pool.release(generation.reserved, generation.active)
        generation.active = 0
        generation.done = True
