"""The simulator on the wall clock: a step's tokens leave together when the step ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from dynamo_cli.errors import EngineDied, InvalidRequest
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage, FinishReason, TokenLogprob
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engine import Engine, EngineInfo
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.mock.blocks import BlockPool
from dynamo_cli.workers.engines.mock.logprobs import logprobs_of
from dynamo_cli.workers.engines.mock.simulator import Generation, Simulator
from dynamo_cli.workers.engines.mock.spec import MockOptions
from dynamo_cli.workers.engines.mock.timing import StepClock
from dynamo_cli.workers.engines.mock.tokens import FALLBACK_VOCABULARY, printable_ids

DEFAULT_CONTEXT_LENGTH = 8192
CATCH_UP_S = 0.05
"""A step that ends this late still starts its successor at the simulated time, so timer slack does not add up."""


class _Stream:
    """What one caller has yet to read."""

    __slots__ = ("finish", "generation", "tokens", "waiter")

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.finish: FinishReason | None = None
        self.waiter: asyncio.Future[None] | None = None
        self.generation: Generation

    def put(self, token: int | None, finish: FinishReason | None) -> None:
        if self.finish is not None:
            return
        if token is not None:
            self.tokens.append(token)
        self.finish = finish
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def more(self) -> None:
        if not self.tokens and self.finish is None:
            self.waiter = asyncio.get_running_loop().create_future()
            await self.waiter
            self.waiter = None


class MockEngine(Engine):
    def __init__(self, options: MockOptions, launch: EngineLaunch) -> None:
        self._options = options
        self._text_path = launch.text_path
        self._context_length = options.max_model_len or launch.context_length or DEFAULT_CONTEXT_LENGTH
        self._words: Sequence[int] = ()
        self._simulator: Simulator | None = None
        self._streams: set[_Stream] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> EngineInfo:
        options = self._options
        self._words = self._vocabulary()
        self._simulator = Simulator(
            vocabulary=self._words,
            clock=StepClock(options.speedup_ratio, options.decode_speedup_ratio),
            pool=BlockPool(options.num_gpu_blocks, options.block_size),
            max_num_seqs=options.max_num_seqs,
            max_num_batched_tokens=options.max_num_batched_tokens,
            seed=options.seed,
        )
        await asyncio.sleep(options.startup_time)
        self._task = asyncio.create_task(self._run(self._simulator), name="mock-engine")
        return EngineInfo(
            input="tokens",
            context_length=self._context_length,
            kv_block_size=options.block_size,
            total_kv_blocks=options.num_gpu_blocks,
            max_num_seqs=options.max_num_seqs,
            max_num_batched_tokens=options.max_num_batched_tokens,
            logprobs=True,
        )

    async def generate(self, request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        stream = self._open(request)
        context.on_stop(lambda: self._end(stream, "cancelled"))
        wanted, state = request.output.logprobs, stream.generation.state
        logprobs: list[TokenLogprob] | None = None
        sent = 0
        try:
            while True:
                await stream.more()
                tokens, stream.tokens = stream.tokens, []
                sent += len(tokens)
                if wanted is not None:
                    logprobs, state = logprobs_of(state, tokens, self._words, wanted)
                if stream.finish is not None:
                    break
                yield Delta(tokens, logprobs=logprobs)
            if stream.finish == "error":
                raise EngineDied("the mock engine has stopped")
            usage = EngineUsage(len(request.token_ids), sent)
            yield Delta(tokens, stream.finish, logprobs=logprobs, usage=usage)
        finally:
            self._end(stream, "cancelled")

    async def stop(self) -> None:
        for stream in list(self._streams):
            self._end(stream, "error")
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

    def _vocabulary(self) -> Sequence[int]:
        return printable_ids(Path(self._text_path, "tokenizer.json")) if self._text_path else FALLBACK_VOCABULARY

    def _open(self, request: EngineRequest) -> _Stream:
        simulator = self._simulator
        if simulator is None or self._task is None:
            raise EngineDied("the mock engine has stopped")
        if request.guided is not None:
            raise InvalidRequest("the mock engine cannot guide its text")
        stream = _Stream()
        max_tokens = self._checked_max_tokens(request)
        stream.generation = Generation(
            simulator.state_of(request.token_ids),
            len(request.token_ids),
            max_tokens,
            min_tokens=request.stop.min_tokens,
            stop_token_ids=frozenset(request.stop.stop_token_ids),
            emit=stream.put,
        )
        simulator.add(stream.generation)
        self._streams.add(stream)
        self._wake.set()
        return stream

    def _checked_max_tokens(self, request: EngineRequest) -> int:
        prompt = len(request.token_ids)
        if not prompt:
            raise InvalidRequest("the mock engine takes token ids, and there are none", "prompt")
        room = self._context_length - prompt
        max_tokens = room if request.stop.max_tokens is None else request.stop.max_tokens
        if max_tokens < 1 or max_tokens > room:
            raise InvalidRequest(
                f"{prompt} prompt tokens and {max_tokens} to generate do not fit the context of {self._context_length}",
                "max_tokens",
            )
        capacity = self._options.num_gpu_blocks * self._options.block_size
        if prompt + max_tokens > capacity:
            raise InvalidRequest(f"{prompt + max_tokens} tokens do not fit the KV cache of {capacity}", "max_tokens")
        return max_tokens

    def _end(self, stream: _Stream, finish: FinishReason) -> None:
        if stream in self._streams:
            self._streams.discard(stream)
            if self._simulator is not None:
                self._simulator.abort(stream.generation)
            stream.put(None, finish)
            self._wake.set()

    async def _run(self, simulator: Simulator) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while True:
            step = simulator.step(now)
            if step is None:
                self._wake.clear()
                await self._wake.wait()
                now = loop.time()
                continue
            await asyncio.sleep(max(0.0, step.ends_at - loop.time()))
            step.deliver()
            now = step.ends_at if loop.time() - step.ends_at < CATCH_UP_S else loop.time()
