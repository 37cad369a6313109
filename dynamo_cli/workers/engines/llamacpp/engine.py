"""llama.cpp behind the Engine contract: token ids in, token ids out, its server's slots as the batch."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

from dynamo_cli.disagg.transfer.metrics import transfer_metrics
from dynamo_cli.disagg.transfer.open import open_transfer
from dynamo_cli.errors import EngineDied, EngineFailed, InvalidRequest
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.protocol.instance import HALVES
from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engine import Engine, EngineInfo
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.llamacpp.body import completion_body
from dynamo_cli.workers.engines.llamacpp.client import LlamaClient, events
from dynamo_cli.workers.engines.llamacpp.flags import Settings
from dynamo_cli.workers.engines.llamacpp.grammar import KINDS, GrammarCheck
from dynamo_cli.workers.engines.llamacpp.handing_over import HandingOver, refuse_handing
from dynamo_cli.workers.engines.llamacpp.heldback import HeldBack
from dynamo_cli.workers.engines.llamacpp.output import Output
from dynamo_cli.workers.engines.llamacpp.process import LlamaProcess
from dynamo_cli.workers.engines.llamacpp.spec import LlamaCppOptions
from dynamo_cli.workers.gate import Gate

Prompt = list[int] | str
Phases = list[tuple[int, bool]]


class _Started(NamedTuple):
    client: LlamaClient
    held_back: HeldBack
    gate: Gate
    grammar_check: GrammarCheck
    end_ids: frozenset[int]
    context_length: int
    handing: HandingOver | None


class LlamaCppEngine(Engine):
    def __init__(self, launch: EngineLaunch, settings: Settings) -> None:
        self._text_path = launch.text_path
        self._takes_text = not launch.text_path
        self._settings = settings
        hands_over = launch.role in HALVES
        options = launch.options or LlamaCppOptions()
        self.transfer = open_transfer(options.transfer, launch.host) if hands_over else None
        self._process = LlamaProcess(launch.model_path, settings, launch.runtime_dir, saves=hands_over)
        self._started: _Started | None = None
        self._prefilling = 0

    async def start(self) -> EngineInfo:
        if self.transfer is not None:
            await self.transfer.start()
        await self._process.start()
        client = LlamaClient(self._process.socket, self._process.key)
        slots = await client.slots()
        self._started = _Started(
            client=client,
            held_back=HeldBack(Path(self._text_path, "tokenizer.json")),
            gate=Gate(len(slots)),
            grammar_check=GrammarCheck(client),
            end_ids=await _end_ids(client),
            context_length=slots[0].n_ctx,
            handing=self._handing(client, len(slots)),
        )
        return EngineInfo(
            input="text" if self._takes_text else "tokens",
            context_length=slots[0].n_ctx,
            max_num_seqs=len(slots),
            max_num_batched_tokens=self._settings.get("n_batch", 2048),
            logprobs=not self._takes_text,
            guided=KINDS,
        )

    async def generate(self, request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        started = self._ready()
        prompt = await self._prompt(request, started)
        phases = self._phases(request, prompt, started)
        output = Output(request, started.held_back, started.end_ids, as_text=isinstance(prompt, str))
        unread = len(request.token_ids) if request.handover is None else 0
        self._prefilling += unread
        try:
            if not await started.gate.enter(context):
                yield output.last("cancelled")
                return
            try:
                async with aclosing(self._sequence(request, prompt, phases, output, context)) as deltas:
                    async for delta in deltas:
                        self._prefilling, unread = self._prefilling - unread, 0
                        yield delta
            finally:
                started.gate.leave()
        finally:
            self._prefilling -= unread
        yield output.last(output.finish or "cancelled")

    async def _sequence(
        self, request: EngineRequest, prompt: Prompt, phases: Phases, output: Output, context: Context
    ) -> AsyncGenerator[Delta, None]:
        """Everything but the last delta, in a slot."""
        started = self._ready()
        if request.guided is not None:
            await started.grammar_check(request.guided)
        handing, slot = started.handing, None
        if handing is None:
            refuse_handing(request)
        else:
            slot = handing.take_slot(request)
        try:
            if handing and slot is not None and request.handover is not None:
                output.transferred = await handing.fetch(request.handover, slot, context)
            for n_predict, ignore_eos in phases:
                if context.stopped:
                    return
                body = completion_body(request, output.begin(prompt), n_predict, ignore_eos, slot)
                async with aclosing(self._stream(body, output, context)) as deltas:
                    async for delta in deltas:
                        if not request.prefill_only:
                            yield delta
                if output.finish != "length":
                    break
            if handing and slot is not None and request.prefill_only and not context.stopped:
                output.handover = await handing.offer(slot, context)
        finally:
            if handing and slot is not None:
                handing.give_slot_back(slot, request.token_ids + output.tokens)

    def load(self) -> WorkerLoad | None:
        """Its KV cache is its own affair, and in text it cannot be told how long a prompt is."""
        started = self._started
        if started is None or self._takes_text:
            return None
        gate = started.gate
        return WorkerLoad(active_prefill_tokens=self._prefilling, running=gate.inside, waiting=gate.waiting)

    def metrics(self) -> str:
        return transfer_metrics(self.transfer.counts) if self.transfer else ""

    async def let_go(self, handover: Handover) -> None:
        if self._started is not None and self._started.handing is not None:
            self._started.handing.let_go(handover)

    async def stop(self) -> None:
        self._started = None
        if self.transfer is not None:
            await self.transfer.close()
        await self._process.stop()

    async def failed(self) -> str:
        return await self._process.died()

    async def busy_slots(self) -> int:
        """How many sequences llama.cpp is working on."""
        return sum(slot.is_processing for slot in await self._ready().client.slots())

    def _handing(self, client: LlamaClient, slots: int) -> HandingOver | None:
        files = self._process.files
        return HandingOver(self.transfer, files, client, slots) if self.transfer and files else None

    def _ready(self) -> _Started:
        if self._started is None:
            raise EngineDied("llama.cpp is not running")
        return self._started

    async def _prompt(self, request: EngineRequest, started: _Started) -> Prompt:
        if not self._takes_text:
            if not request.token_ids:
                raise InvalidRequest("llama.cpp takes token ids, and there are none", "prompt")
            return request.token_ids
        if request.stop.min_tokens:
            raise InvalidRequest("min_tokens needs a model whose tokenizer is known", "min_tokens")
        if request.messages is not None:
            return await started.client.render(request.messages)
        if request.prompt is None:
            raise InvalidRequest("there are neither messages nor a prompt", "prompt")
        return request.prompt

    def _phases(self, request: EngineRequest, prompt: Prompt, started: _Started) -> Phases:
        """(tokens to generate, whether the end of sequence is barred) in turn: llama.cpp knows no least length."""
        stop = request.stop
        if request.prefill_only:
            if not isinstance(prompt, str) and len(prompt) >= started.context_length:
                raise InvalidRequest(
                    f"{len(prompt)} prompt tokens do not fit the context of {started.context_length}", "prompt"
                )
            return [(0, True)]
        if isinstance(prompt, str):
            return [(-1 if stop.max_tokens is None else stop.max_tokens, stop.ignore_eos)]
        room = started.context_length - len(prompt)
        max_tokens = room if stop.max_tokens is None else stop.max_tokens
        if max_tokens < 1 or max_tokens > room:
            raise InvalidRequest(
                f"{len(prompt)} prompt tokens and {max_tokens} to generate do not fit "
                f"the context of {started.context_length}",
                "max_tokens",
            )
        if stop.ignore_eos or not 0 < stop.min_tokens < max_tokens:
            return [(max_tokens, stop.ignore_eos or stop.min_tokens >= max_tokens)]
        return [(stop.min_tokens, True), (max_tokens - stop.min_tokens, False)]

    async def _stream(self, body: dict[str, object], output: Output, context: Context) -> AsyncGenerator[Delta, None]:
        response = await self._ready().client.completion(body)
        context.on_stop(response.close)
        try:
            async for found in events(response):
                delta = output.take(found)
                if context.stopped:
                    break
                if delta is not None:
                    yield delta
                if output.finish is not None:
                    return
        except (EngineFailed, EngineDied):
            if not context.stopped:
                raise
        finally:
            response.close()
        if not context.stopped:
            raise EngineDied("llama.cpp ended a stream too early")
        output.finish = "cancelled"


async def _end_ids(client: LlamaClient) -> frozenset[int]:
    """The model's end-of-sequence ids: those llama.cpp bars when it is asked to ignore them."""
    body = {"prompt": "a", "n_predict": 1, "ignore_eos": True, "stream": True, "cache_prompt": False}
    async with await client.completion(body) as response:
        async for found in events(response):
            for event in found:
                if event.generation_settings is not None:
                    return frozenset(bias.token for bias in event.generation_settings.logit_bias)
    raise EngineFailed("llama.cpp did not answer its first request")
