"""The simulator on the wall clock: a step's tokens leave together when the step ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from collections.abc import Sequence as Words
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from dynamo_cli.errors import Cancelled, EngineDied, EngineFailed, InvalidRequest
from dynamo_cli.protocol.engine import Delta, EngineRequest, FinishReason, StopConditions, TokenLogprob
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.protocol.kv import adapter_seed
from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engine import Adapter, Control, Engine, EngineInfo
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.mock.fetching import check_family, room_of
from dynamo_cli.workers.engines.mock.handing import Handing
from dynamo_cli.workers.engines.mock.logprobs import logprobs_of
from dynamo_cli.workers.engines.mock.simulation.blocks import BlockPool
from dynamo_cli.workers.engines.mock.simulation.sequence import Sequence
from dynamo_cli.workers.engines.mock.simulation.simulator import Simulator
from dynamo_cli.workers.engines.mock.simulation.step import Step
from dynamo_cli.workers.engines.mock.simulation.timing import Link, StepClock
from dynamo_cli.workers.engines.mock.spec import MockOptions
from dynamo_cli.workers.engines.mock.stream import Stream, say_one_more
from dynamo_cli.workers.engines.mock.tokens import FALLBACK_VOCABULARY, absorb_all, initial_state, printable_ids
from dynamo_cli.workers.engines.mock.vectors import vector_of

DEFAULT_CONTEXT_LENGTH = 8192
CATCH_UP_S = 0.05
"""A step that ends this late still starts its successor at the simulated time, so timer slack does not add up."""

CONTROLS: tuple[Control, ...] = ("clear_kv_blocks", "sleep", "wake_up")


class MockEngine(Engine):
    """`on_kv_events` is called after each step in which the cache has changed: at most one event of a kind and tier."""

    def __init__(self, options: MockOptions, launch: EngineLaunch) -> None:
        self._options = options
        self._text_path = launch.text_path
        self._role = launch.role
        self._context_length = options.max_model_len or launch.context_length or DEFAULT_CONTEXT_LENGTH
        self._words: Words[int] = ()
        self._simulator: Simulator | None = None
        self._handing: Handing | None = None
        self._streams: set[Stream] = set()
        self._adapters: set[str] = set()
        self._asleep = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> EngineInfo:
        options = self._options
        self._words = self._vocabulary()
        self._simulator = Simulator(
            clock=StepClock(options.speedup_ratio, options.decode_speedup_ratio),
            pool=BlockPool(options.num_gpu_blocks, options.block_size, options.num_host_blocks),
            max_num_seqs=options.max_num_seqs,
            max_num_batched_tokens=options.max_num_batched_tokens,
            enable_prefix_caching=options.enable_prefix_caching,
            host_link=Link(options.h2d_bandwidth, options.kv_bytes_per_token),
        )
        self._handing = Handing(options, self._simulator, self._wake.set)
        if self._role == "prefill":
            await self._handing.start()
        await asyncio.sleep(options.startup_time)
        self._task = asyncio.create_task(self._run(self._simulator), name="mock-engine")
        host, port = self._handing.address if options.bootstrap else ("", 0)
        return EngineInfo(
            input="tokens",
            context_length=self._context_length,
            kv_block_size=options.block_size,
            total_kv_blocks=options.num_gpu_blocks,
            max_num_seqs=options.max_num_seqs,
            max_num_batched_tokens=options.max_num_batched_tokens,
            logprobs=not options.embedding_size,
            kv_events=options.enable_prefix_caching,
            prefix_caching=options.enable_prefix_caching,
            controls=CONTROLS,
            max_adapters=options.max_loras,
            embedding_size=options.embedding_size,
            dimensions=options.embedding_size > 0,
            bootstrap_host=host,
            bootstrap_port=port,
        )

    async def generate(self, request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        stream, handing = self._open(request), self._handing
        assert handing is not None
        context.on_stop(lambda: self._end(stream, "cancelled"))
        wanted, state = request.output.logprobs, stream.state
        logprobs: list[TokenLogprob] | None = None
        try:
            while True:
                await stream.more()
                tokens, stream.tokens = stream.tokens, []
                cached, fetched = (0, None) if stream.read else (stream.sequence.cached_tokens, handing.fetched(stream))
                stream.read += len(tokens)
                if wanted is not None:
                    logprobs, state = logprobs_of(state, tokens, self._words, wanted)
                if stream.finish is not None:
                    break
                if not request.prefill_only:
                    yield Delta(tokens, logprobs=logprobs, cached_tokens=cached, fetched=fetched)
            if stream.finish == "error":
                raise stream.error or EngineDied("the mock engine has stopped")
            usage = handing.usage(stream, len(request.token_ids))
            handover = None
            if request.prefill_only:
                tokens, logprobs = [], None
                if stream.sequence.phase == "kept":
                    handover = handing.keep(stream.sequence, room_of(request.handover))
                    self._streams.discard(stream)
            yield Delta(tokens, stream.finish, logprobs=logprobs, usage=usage, handover=handover)
        finally:
            self._end(stream, "cancelled")

    async def let_go(self, handover: Handover) -> None:
        if self._handing is not None:
            self._handing.let_go(handover)

    async def embed(self, request: EngineRequest, context: Context) -> list[float]:
        """Takes the time of a prefill. The vector is that of the tokens, and of the adapter."""
        size = (request.embedding.dimensions if request.embedding else None) or self._options.embedding_size
        if size > self._options.embedding_size:
            raise InvalidRequest(f"the mock engine's vectors have {self._options.embedding_size} numbers at most")
        stream = self._open(replace(request, stop=StopConditions(max_tokens=1)))
        context.on_stop(lambda: self._end(stream, "cancelled"))
        try:
            while stream.finish is None:
                await stream.more()
                stream.tokens.clear()
        finally:
            self._end(stream, "cancelled")
        if stream.finish == "error":
            raise EngineDied("the mock engine has stopped")
        if stream.finish == "cancelled":
            raise Cancelled("the client has gone")
        return vector_of(absorb_all(initial_state(self._seed_of(request.model)), request.token_ids), size)

    def load(self) -> WorkerLoad | None:
        return None if self._simulator is None else WorkerLoad(*self._simulator.load())

    async def control(self, name: Control, arguments: dict[str, Any]) -> dict[str, Any]:
        """Whoever sleeps has nothing in its cache, and ends what still runs."""
        if name not in CONTROLS:
            raise NotImplementedError(name)
        if name == "sleep":
            assert self._handing is not None
            self._handing.drop()
            for stream in list(self._streams):
                self._end(stream, "cancelled")
        self._asleep = name == "sleep" or (self._asleep and name != "wake_up")
        if name != "wake_up" and self._simulator is not None:
            self._simulator.clear()
            self._tell(self._simulator)
        return {}

    async def add_adapter(self, adapter: Adapter) -> None:
        if not Path(adapter.path).is_dir():
            raise InvalidRequest(f"adapter {adapter.name}: {adapter.path} is no directory")
        if len(self._adapters | {adapter.name}) > self._options.max_loras:
            raise InvalidRequest(f"adapter {adapter.name}: all {self._options.max_loras} places are taken")
        self._adapters.add(adapter.name)

    async def remove_adapter(self, name: str) -> None:
        self._adapters.discard(name)

    def metrics(self) -> str:
        return self._handing.metrics() if self._handing is not None else ""

    async def stop(self) -> None:
        for stream in list(self._streams):
            self._end(stream, "error")
        if self._handing is not None:
            await self._handing.close()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def failed(self) -> str:
        task = self._task
        if task is not None:
            await asyncio.wait([task])
            if not task.cancelled() and task.exception() is not None:
                return f"the mock engine broke: {task.exception()!r}"
        return await super().failed()

    def _vocabulary(self) -> Words[int]:
        return printable_ids(Path(self._text_path, "tokenizer.json")) if self._text_path else FALLBACK_VOCABULARY

    def _open(self, request: EngineRequest) -> Stream:
        simulator = self._simulator
        if simulator is None or self._task is None or self._task.done():
            raise EngineDied("the mock engine has stopped")
        if self._asleep:
            raise EngineFailed("the mock engine sleeps")
        if request.guided is not None:
            raise InvalidRequest("the mock engine cannot guide its text")
        max_tokens = self._checked_max_tokens(request)
        adapter = request.model if request.model in self._adapters else ""
        stream = Stream(
            self._sequence(request.token_ids, 1 if request.prefill_only else max_tokens, adapter),
            absorb_all(initial_state(self._seed_of(request.model)), request.token_ids),
            request.stop.min_tokens,
            frozenset() if request.prefill_only else frozenset(request.stop.stop_token_ids),
        )
        stream.sequence.owner = stream
        stream.sequence.keeps = request.prefill_only
        if request.handover is not None and not request.prefill_only:
            check_family(request.handover)
            stream.handover, stream.sequence.remote = request.handover, True
        simulator.add(stream.sequence)
        self._streams.add(stream)
        self._wake.set()
        return stream

    def _seed_of(self, model: str) -> int:
        return self._options.seed ^ (adapter_seed(model) if model in self._adapters else 0)

    def _checked_max_tokens(self, request: EngineRequest) -> int:
        prompt = len(request.token_ids)
        if not prompt:
            raise InvalidRequest("the mock engine takes token ids, and there are none", "prompt")
        room = self._context_length + (request.embedding is not None) - prompt
        max_tokens = room if request.stop.max_tokens is None else request.stop.max_tokens
        if max_tokens < 1 or max_tokens > room:
            raise InvalidRequest(
                f"{prompt} prompt tokens and {max_tokens} to generate do not fit the context of {self._context_length}",
                "max_tokens",
            )
        return max_tokens

    def _sequence(self, token_ids: list[int], max_tokens: int, adapter: str) -> Sequence:
        if self._options.enable_prefix_caching:
            return Sequence.of_tokens(token_ids, max_tokens, self._options.block_size, adapter=adapter)
        return Sequence(len(token_ids), max_tokens)

    def _end(self, stream: Stream, finish: FinishReason) -> None:
        if stream in self._streams:
            self._streams.discard(stream)
            if self._simulator is not None:
                self._simulator.end(stream.sequence)
            if self._handing is not None:
                self._handing.leave(stream)
            stream.stop(finish)
            self._wake.set()

    async def _run(self, simulator: Simulator) -> None:
        try:
            await self._run_steps(simulator)
        finally:
            for stream in list(self._streams):
                stream.stop("error")

    async def _run_steps(self, simulator: Simulator) -> None:
        loop, handing = asyncio.get_running_loop(), self._handing
        assert handing is not None
        now = loop.time()
        while True:
            step = simulator.step(now)
            handing.receive()
            if step is None:
                self._wake.clear()
                await self._wake.wait()
                now = loop.time()
                continue
            await asyncio.sleep(max(0.0, step.ends_at - loop.time()))
            self._deliver(simulator, step)
            now = step.ends_at if loop.time() - step.ends_at < CATCH_UP_S else loop.time()

    def _deliver(self, simulator: Simulator, step: Step) -> None:
        last = [sequence for sequence in step.finished if sequence.owner.finish is None]
        say_one_more(last, self._words)
        for sequence in last:
            sequence.owner.stop("length")
        for sequence in say_one_more(simulator.decoding, self._words):
            simulator.end(sequence)
        self._tell(simulator)

    def _tell(self, simulator: Simulator) -> None:
        if self.on_kv_events is not None:
            events = simulator.drain_events()
            if events:
                self.on_kv_events(events)
