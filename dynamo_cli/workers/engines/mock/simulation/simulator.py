"""A continuously batching engine as a plain object: `step(now)` decides, nothing here waits or does I/O.

Scheduling is vLLM's: a pass is one token for every decoding sequence, then prompts in chunks, first come, first served,
until the token budget is spent. Full blocks are found again by name. When the blocks run out, the sequence admitted
last gives its own back and starts over, as soon as there is room, with what the cache still has of it.

A live engine calls `step`, lets that time pass and delivers. In a replay no one waits for single tokens: `leap` does as
many passes at once as give nothing but a token each, with exactly the times of single steps, and `cut` takes back those
that had not begun when something came in between.

A sequence whose prompt was computed elsewhere waits for blocks like any other, and then for its KV: who drives this
brings it (`drain_receiving`) and says when it is there (`received`). It computes nothing of its prompt, and has its
first token with the next pass.

Several simulators on one virtual clock:

    passes: list[tuple[float, int]] = []
    running: dict[int, Step] = {}
    while arrivals or passes:
        if arrivals and (not passes or arrivals[0].at <= passes[0][0]):
            request = arrivals.popleft()
            worker = choose([simulator.load() for simulator in simulators])
            simulator, now = simulators[worker], request.at
            step = simulator.cut(now)
            simulator.add(Sequence(request.prompt_tokens, request.max_tokens, request.block_names, owner=request))
            step = step or simulator.leap(now)
        else:
            now, worker = heappop(passes)
            if worker not in running or running[worker].ends_at != now:
                continue                                             # it was cut
            gaps.add(running.pop(worker))                            # also: .began, .finished, drain_events()
            step = simulators[worker].leap(now)
        if step and running.get(worker) is not step:
            running[worker] = step
            heappush(passes, (step.ends_at, worker))
"""

from __future__ import annotations

import math
from collections import OrderedDict
from heapq import heappop, heappush
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.kv import KvEvent
from dynamo_cli.workers.engines.mock.simulation.blocks import NOTHING, BlockPool
from dynamo_cli.workers.engines.mock.simulation.sequence import Sequence
from dynamo_cli.workers.engines.mock.simulation.step import Step
from dynamo_cli.workers.engines.mock.simulation.timing import Link, StepClock, on_grid


class Load(NamedTuple):
    """How busy it is now. `prefill_tokens`: of all prompts waiting or under way, what is not yet computed."""

    active_blocks: int
    total_blocks: int
    prefill_tokens: int
    running: int
    waiting: int


class Simulator:
    """See the module. `seed` names generated blocks of unknown tokens: give each simulator of a replay its own.

    `host_link` is how blocks come back from the host tier: the pass that needs them lasts so much longer.
    Raises ValueError when the token budget is below `max_num_seqs`: not every sequence could decode in a pass.
    """

    def __init__(
        self,
        *,
        clock: StepClock,
        pool: BlockPool,
        max_num_seqs: int = 256,
        max_num_batched_tokens: int = 8192,
        enable_prefix_caching: bool = True,
        host_link: Link = Link(),  # noqa: B008
        seed: int = 0,
    ) -> None:
        if max_num_batched_tokens < max_num_seqs:
            raise ValueError(f"{max_num_batched_tokens} tokens a pass for {max_num_seqs} sequences")
        self.pool = pool
        self.waiting: OrderedDict[Sequence, None] = OrderedDict()
        self.prefilling: list[Sequence] = []
        self.decoding: dict[Sequence, None] = {}
        """In the order of their admission."""
        self.receiving: dict[Sequence, None] = {}
        """They have blocks, and wait for what is to be in them."""
        self.preemptions = 0
        self.computed_tokens = 0
        """Prompt tokens, since the beginning; those of preempted sequences once more."""
        self._clock = clock
        self._max_num_seqs = max_num_seqs
        self._budget = max_num_batched_tokens
        self._caching = enable_prefix_caching
        self._host_link = host_link
        self._seed = seed
        self._names_given = 0
        self._admitted = 0
        self._prefill_tokens = 0
        self._passes = 0
        # When which decoding sequence will need a block, fill one or end: the pass, its order, and itself.
        self._agenda: list[tuple[int, int, Sequence]] = []
        # The first in the queue was refused, and nothing has changed since that could let it in. (Blocks filled by
        # unknown tokens cannot: no prompt begins with them.)
        self._stuck = False
        self._admitted_to_receive: list[Sequence] = []
        self._received: list[Sequence] = []
        self._step: Step | None = None

    def load(self) -> Load:
        pool, running = self.pool, len(self.prefilling) + len(self.decoding) + len(self.receiving)
        return Load(pool.active, pool.total, self._prefill_tokens, running, len(self.waiting))

    def generated(self, sequence: Sequence) -> int:
        """How many tokens it has."""
        return self._passes - sequence.start if sequence.phase == "decoding" else sequence.generated

    def add(self, sequence: Sequence) -> None:
        """Queue it. Raises InvalidRequest when it could never fit, ValueError for names of blocks that are not full."""
        pool, prompt, most = self.pool, sequence.prompt_tokens, sequence.max_tokens
        if pool.blocks_for(prompt + most - 1) > pool.total:
            raise InvalidRequest(
                f"{prompt} prompt tokens and {most} to generate do not fit the KV cache of "
                f"{pool.total * pool.block_size} tokens",
                "max_tokens",
            )
        if len(sequence.names) * pool.block_size > prompt:
            raise ValueError(f"{len(sequence.names)} names of full blocks, but {prompt} prompt tokens")
        self._queue(sequence, first=False)

    def end(self, sequence: Sequence) -> None:
        """Take it out, wherever it is, and free its blocks; idempotent. Cut the leap under way before."""
        if sequence.phase == "waiting":
            del self.waiting[sequence]
            self._prefill_tokens -= sequence.to_compute
            self._stuck = False
        elif sequence.phase != "done":
            self._leave(sequence)
        sequence.phase = "done"

    def drain_receiving(self) -> list[Sequence]:
        """Those that have blocks since the last call and are now to get their KV, but for what is cached."""
        admitted, self._admitted_to_receive = self._admitted_to_receive, []
        return [sequence for sequence in admitted if sequence in self.receiving]

    def received(self, sequence: Sequence) -> None:
        """The KV of its prompt is there. Cut the leap under way before."""
        if sequence in self.receiving and sequence not in self._received:
            sequence.computed = sequence.prompt_tokens
            self._name_full(sequence, sequence.computed)
            self._received.append(sequence)

    def clear(self) -> None:
        """Forget every cached block that no sequence uses."""
        self.pool.clear()
        self._stuck = False

    def drain_events(self) -> list[KvEvent]:
        """How the cache has changed since the last call: at most one event of a kind and tier, in order."""
        return self.pool.drain_events()

    def step(self, now: float) -> Step | None:
        """Run one pass that begins at `now` (seconds); None when there is nothing to do."""
        self._step = None
        now = on_grid(now)
        preempted: list[Sequence] = []
        due = self._due(self._passes + 1)
        for sequence in due:
            self._grow(sequence, 1, preempted)
        decoding, arrived = len(self.decoding), self._received
        complete: list[Sequence] = arrived[:]
        prefill_tokens, transfer = self._prefill(complete, preempted) if self.prefilling or self.waiting else (0, 0.0)
        if not decoding and not prefill_tokens and not arrived:
            return None
        seconds = self._clock.seconds(prefill_tokens, decoding > 0 or bool(arrived), self.pool.occupancy, transfer)
        step = self._step = Step(now + seconds, seconds, decoding, 1, prefill_tokens)
        self._passes += 1
        if due or complete or preempted:
            self._conclude(step, due, complete, preempted)
        return step

    def leap(self, now: float) -> Step | None:
        """As `step`, but all passes at once that come before the next one in which anything happens.

        Not for sequences whose tokens someone must add.
        """
        passes = self._quiet_passes()
        if passes < 2:
            return self.step(now)
        seconds = self._clock.seconds(0, True, self.pool.occupancy)
        self._passes += passes
        self._step = Step(on_grid(now) + passes * seconds, seconds, len(self.decoding), passes)
        return self._step

    def cut(self, now: float) -> Step | None:
        """Take back the passes under way that have not begun before `now`: for before something is added or ended.

        Returns the step that is then under way, which ends earlier when it was cut; None when there is none.
        """
        step = self._step
        if step is None or step.passes == 1:
            return step
        began = step.ends_at - step.passes * step.seconds
        kept = max(1, math.ceil((now - began) / step.seconds)) if step.seconds else step.passes
        while kept > 1 and began + (kept - 1) * step.seconds >= now:
            kept -= 1
        while began + kept * step.seconds < now:
            kept += 1
        if kept < step.passes:
            self._passes -= step.passes - kept
            self._step = Step(began + kept * step.seconds, step.seconds, step.decoding, kept)
        return self._step

    # --- decoding

    def _quiet_passes(self) -> int:
        """How many passes will give every decoding sequence a token, and nothing else."""
        if not self.decoding or self.prefilling or self._received or (self.waiting and not self._stuck):
            return 0
        while not self._is_current(self._agenda[0]):
            heappop(self._agenda)
        return self._agenda[0][0] - self._passes - 1

    def _is_current(self, entry: tuple[int, int, Sequence]) -> bool:
        due, order, sequence = entry
        return sequence.phase == "decoding" and sequence.order == order and sequence.due == due

    def _due(self, number: int) -> list[Sequence]:
        """Those for which something happens in that pass, in the order of their admission."""
        agenda, found = self._agenda, []
        while agenda and agenda[0][0] <= number:
            entry = heappop(agenda)
            if self._is_current(entry):
                found.append(entry[2])
        return found

    def _conclude(self, step: Step, due: list[Sequence], complete: list[Sequence], preempted: list[Sequence]) -> None:
        """What the pass has led to besides tokens."""
        began, resumed, ends_at = [], [], step.ends_at
        for sequence in preempted:
            if sequence.first_token_at is not None and sequence.preempted_at is None:
                sequence.preempted_at = ends_at - step.seconds
        for sequence in due:
            if sequence.phase == "decoding":
                self._name_full(sequence, sequence.prompt_tokens + self._passes - sequence.start - 1)
                self._go_on(sequence, ends_at)
        for sequence in complete:
            self._start_decoding(sequence)
            if sequence.first_token_at is None:
                sequence.first_token_at = ends_at
                began.append(sequence)
            elif sequence.preempted_at is not None:
                resumed.append((sequence, ends_at - sequence.preempted_at))
                sequence.preempted_at = None
            self._go_on(sequence, ends_at)
        step.began, step.resumed, step.preempted = began, resumed, preempted
        step.finished = [sequence for sequence in (*due, *complete) if sequence.phase in ("done", "kept")]

    def _start_decoding(self, sequence: Sequence) -> None:
        """Its prompt is complete, which has given a token."""
        if sequence.phase == "receiving":
            del self.receiving[sequence]
            self._received.remove(sequence)
            sequence.remote = False
        sequence.generated += 1
        sequence.start = self._passes - sequence.generated
        sequence.phase = "decoding"
        self.decoding[sequence] = None

    def _go_on(self, sequence: Sequence, now: float) -> None:
        """End a decoding sequence that has all its tokens, or note when the next thing happens to it."""
        block_size = self.pool.block_size
        generated = self._passes - sequence.start
        wait = sequence.max_tokens - generated
        if not wait:
            self._finish(sequence)
            sequence.finished_at = now
            return
        computed = sequence.prompt_tokens + generated - 1
        wait = min(wait, sequence.held * block_size + 1 - computed)
        if self._caching:
            wait = min(wait, (sequence.named + 1) * block_size - computed)
        sequence.due = self._passes + wait
        heappush(self._agenda, (sequence.due, sequence.order, sequence))

    def _finish(self, sequence: Sequence) -> None:
        if sequence.keeps:
            del self.decoding[sequence]
            sequence.generated = self._passes - sequence.start
            sequence.phase = "kept"
        else:
            self._leave(sequence)
            sequence.phase = "done"

    # --- prefilling

    def _prefill(self, complete: list[Sequence], preempted: list[Sequence]) -> tuple[int, float]:
        """The tokens computed and the seconds of transfer; `complete` gets the sequences whose prompt now is."""
        budget = left = self._budget - len(self.decoding)
        for sequence in self.prefilling[:]:
            chunk = min(left, sequence.known - sequence.computed)
            if sequence.phase == "prefilling" and chunk and self._grow(sequence, chunk, preempted):
                self._compute(sequence, chunk, complete)
                left -= chunk
        transfer, self._stuck = 0, False
        while not preempted and self.waiting and left:
            if self._places_taken(complete) >= self._max_num_seqs:
                self._stuck = True
                break
            sequence = next(iter(self.waiting))
            if sequence.remote:
                if self._receive(sequence):
                    continue
                self._stuck = True
                break
            admitted = self._admit(sequence, left)
            if admitted is None:
                self._stuck = True
                break
            chunk, onboarded = admitted
            self._compute(sequence, chunk, complete)
            left -= chunk
            transfer += onboarded
        return budget - left, self._host_link.seconds(transfer) if transfer else 0.0

    def _places_taken(self, complete: list[Sequence]) -> int:
        computed = sum(sequence.phase != "receiving" for sequence in complete)
        return len(self.decoding) + len(self.prefilling) + len(self.receiving) + computed

    def _receive(self, sequence: Sequence) -> bool:
        """Give it the blocks of its whole prompt, if there are enough: what is cached on the device need not come."""
        pool, prompt = self.pool, sequence.prompt_tokens
        prefix = pool.find(sequence.names, prompt // pool.block_size)._replace(host=0) if self._caching else NOTHING
        blocks = pool.blocks_for(prompt)
        if blocks - prefix.device > pool.available - prefix.unused:
            return False
        del self.waiting[sequence]
        self._admitted += 1
        sequence.phase, sequence.order = "receiving", self._admitted
        pool.reuse(sequence.names, prefix)
        pool.take(blocks - prefix.device)
        sequence.held, sequence.named = blocks, prefix.device
        sequence.cached_tokens = sequence.computed = prefix.device * pool.block_size
        self.receiving[sequence] = None
        self._admitted_to_receive.append(sequence)
        return True

    def _admit(self, sequence: Sequence, budget: int) -> tuple[int, int] | None:
        """Give it the blocks of its first chunk; the tokens to compute, and those from the host tier.

        None when there are not enough blocks. At least its last token is computed, or there would be none to sample.
        """
        pool, known = self.pool, sequence.known
        prefix = pool.find(sequence.names, (known - 1) // pool.block_size) if self._caching else NOTHING
        found = prefix.device + prefix.host
        cached = found * pool.block_size
        chunk = min(budget, known - cached)
        blocks = pool.blocks_for(cached + chunk)
        if blocks - prefix.device > pool.available - prefix.unused:
            return None
        del self.waiting[sequence]
        self.prefilling.append(sequence)
        if not sequence.order:
            sequence.cached_tokens = cached
        self._admitted += 1
        sequence.phase, sequence.order = "prefilling", self._admitted
        pool.reuse(sequence.names, prefix)
        pool.take(blocks - found)
        sequence.held, sequence.named, sequence.computed = blocks, found, cached
        self._prefill_tokens -= cached
        return chunk, prefix.host * pool.block_size

    def _compute(self, sequence: Sequence, chunk: int, complete: list[Sequence]) -> None:
        sequence.computed += chunk
        self._prefill_tokens -= chunk
        self.computed_tokens += chunk
        self._name_full(sequence, sequence.computed)
        if sequence.computed == sequence.known:
            self.prefilling.remove(sequence)
            complete.append(sequence)

    # --- blocks

    def _grow(self, sequence: Sequence, tokens: int, preempted: list[Sequence]) -> bool:
        """Get the blocks for more tokens, from those admitted last if need be; False when it is itself preempted."""
        if sequence.phase == "decoding":
            computed = sequence.prompt_tokens + self._passes - sequence.start - 1
        elif sequence.phase == "prefilling":
            computed = sequence.computed
        else:
            return False
        pool = self.pool
        needed = pool.blocks_for(computed + tokens) - sequence.held
        if needed <= 0:
            return True
        while pool.available < needed:
            last = self.prefilling[-1] if self.prefilling else next(reversed(self.decoding))
            self._leave(last)
            self._queue(last, first=True)
            preempted.append(last)
            self.preemptions += 1
            if last is sequence:
                return False
        pool.take(needed)
        sequence.held += needed
        return True

    def _name_full(self, sequence: Sequence, computed: int) -> None:
        full = computed // self.pool.block_size
        if self._caching and full > sequence.named:
            names = sequence.names_between(sequence.named, full, self.pool.block_size, self._new_name)
            self.pool.name(names)
            sequence.named = full

    def _new_name(self) -> int:
        self._names_given += 1
        return xxh3_64_intdigest(self._names_given.to_bytes(8, "little"), self._seed & (1 << 64) - 1)

    def _queue(self, sequence: Sequence, *, first: bool) -> None:
        sequence.phase = "waiting"
        self._prefill_tokens += sequence.to_compute
        self.waiting[sequence] = None
        if first or len(self.waiting) == 1:
            self.waiting.move_to_end(sequence, last=False)
            self._stuck = False

    def _leave(self, sequence: Sequence) -> None:
        """Give the blocks back, and the place."""
        if sequence.phase == "decoding":
            del self.decoding[sequence]
            sequence.generated = self._passes - sequence.start
        elif sequence.phase == "prefilling":
            self.prefilling.remove(sequence)
            self._prefill_tokens -= sequence.known - sequence.computed
        elif sequence.phase == "receiving":
            del self.receiving[sequence]
            if sequence in self._received:
                self._received.remove(sequence)
        self.pool.release(sequence.names[: sequence.named], sequence.held - sequence.named)
        sequence.held = sequence.named = sequence.computed = 0
        self._stuck = False
