"""A mock engine's part in disaggregation: it keeps KV for others, or waits for what others keep."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic

from dynamo_cli.errors import EngineFailed, TransferFailed
from dynamo_cli.protocol.engine import EngineUsage
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.workers.engines.mock.fetching import fetch, give_up
from dynamo_cli.workers.engines.mock.keeping import KvForm, KvKeeper
from dynamo_cli.workers.engines.mock.simulation.sequence import Sequence
from dynamo_cli.workers.engines.mock.simulation.simulator import Simulator
from dynamo_cli.workers.engines.mock.simulation.timing import Link
from dynamo_cli.workers.engines.mock.spec import MockOptions
from dynamo_cli.workers.engines.mock.stream import Stream


class Handing:
    """`wake`: the simulator has something to do. `start`, then `close`."""

    def __init__(self, options: MockOptions, simulator: Simulator, wake: Callable[[], None]) -> None:
        self._form = KvForm(options.block_size, options.kv_bytes_per_token)
        self._link = Link(options.kv_transfer_bandwidth, options.kv_bytes_per_token)
        self._speedup = options.speedup_ratio
        self._simulator = simulator
        self._wake = wake
        self._keep_s = options.kv_keep_s
        self._keeper: KvKeeper | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._tokens = 0

    async def start(self) -> None:
        """Be where decode workers come to."""
        self._keeper = KvKeeper(self._form, self._keep_s, self._free)
        await self._keeper.start()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._keeper is not None:
            await self._keeper.close()

    @property
    def address(self) -> tuple[str, int]:
        """Where decode workers come to; "", 0 when this worker keeps nothing."""
        return ("", 0) if self._keeper is None else self._keeper.address

    def keep(self, sequence: Sequence, room: str) -> Handover:
        """Raises EngineFailed when this worker does not prefill for others."""
        if self._keeper is None:
            raise EngineFailed("this worker keeps nothing for others: its role is not prefill")
        return self._keeper.keep(sequence, room)

    def let_go(self, handover: Handover) -> None:
        if self._keeper is not None:
            self._keeper.let_go(handover)

    def drop(self) -> None:
        """Keep nothing any more."""
        if self._keeper is not None:
            self._keeper.drop()

    def receive(self) -> None:
        """Have what those sequences wait for brought that have blocks now."""
        for sequence in self._simulator.drain_receiving():
            stream: Stream = sequence.owner
            stream.transfer = self._begin(self._receive(stream))

    def leave(self, stream: Stream) -> None:
        """It has ended; nobody has to wait for it, here or there."""
        if stream.transfer is not None:
            stream.transfer.cancel()
        elif stream.handover is not None:
            self._begin(give_up(stream.handover))
        stream.handover = None

    def usage(self, stream: Stream, prompt_tokens: int) -> EngineUsage:
        usage = EngineUsage(prompt_tokens, stream.read, stream.sequence.cached_tokens)
        if (fetched := self.fetched(stream)) is not None:
            usage.transferred_tokens, usage.transferred_bytes, usage.transfer_s = fetched
        return usage

    def fetched(self, stream: Stream) -> tuple[int, int, float] | None:
        """As Delta.fetched."""
        if stream.transferred is None:
            return None
        tokens, seconds = stream.transferred
        return tokens, tokens * self._form.bytes_per_token, seconds

    def metrics(self) -> str:
        kept, expired = (len(self._keeper), self._keeper.expired) if self._keeper is not None else (0, 0)
        return (
            "# TYPE mock_prompt_tokens_computed counter\n"
            f"mock_prompt_tokens_computed_total {self._simulator.computed_tokens}\n"
            "# TYPE mock_kv_tokens_received counter\n"
            f"mock_kv_tokens_received_total {self._tokens}\n"
            "# TYPE mock_kv_blocks_active gauge\n"
            f"mock_kv_blocks_active {self._simulator.pool.active}\n"
            "# TYPE mock_kv_kept_sequences gauge\n"
            f"mock_kv_kept_sequences {kept}\n"
            "# TYPE mock_kv_kept_expired counter\n"
            f"mock_kv_kept_expired_total {expired}\n"
        )

    def _free(self, sequence: Sequence) -> None:
        self._simulator.end(sequence)
        self._wake()

    def _begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _receive(self, stream: Stream) -> None:
        sequence, handover = stream.sequence, stream.handover
        assert handover is not None
        tokens = sequence.prompt_tokens - sequence.cached_tokens
        seconds = self._link.seconds(tokens) / self._speedup if self._speedup else 0.0
        began = monotonic()
        try:
            await fetch(handover, sequence.prompt_tokens, self._form, seconds)
        except TransferFailed as error:
            stream.error = error
            stream.stop("error")
        else:
            self._tokens += tokens
            stream.transferred = tokens, monotonic() - began
            self._simulator.received(sequence)
            self._wake()
