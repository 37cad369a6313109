"""vLLM's AsyncLLM behind the Engine contract."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from dynamo_cli.errors import DynamoError, EngineDied, EngineFailed, InvalidRequest, Overloaded, TransferFailed
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engine import Adapter, Control, Engine, EngineInfo
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.vllm.adapters import Adapters
from dynamo_cli.workers.engines.vllm.controls import Controls
from dynamo_cli.workers.engines.vllm.counts import Counts
from dynamo_cli.workers.engines.vllm.events import EventFeed
from dynamo_cli.workers.engines.vllm.failure import one_line
from dynamo_cli.workers.engines.vllm.handing import HandOvers, let_go
from dynamo_cli.workers.engines.vllm.media import modalities_of, multi_modal_data
from dynamo_cli.workers.engines.vllm.output import Output
from dynamo_cli.workers.engines.vllm.pooling import embedding, embedding_size, makes_embeddings
from dynamo_cli.workers.engines.vllm.process import VllmProcess
from dynamo_cli.workers.engines.vllm.sampling import GUIDED, guided_arguments, sampling_arguments
from dynamo_cli.workers.engines.vllm.spec import VllmOptions
from dynamo_cli.workers.engines.vllm.wire import Events


class _Started(NamedTuple):
    engine: Any
    context_length: int
    adapters: Adapters
    controls: Controls
    parameters: Callable[[EngineRequest, int], Any]
    """(request, max_tokens) -> SamplingParams"""
    embeds: bool


class VllmEngine(Engine):
    def __init__(self, launch: EngineLaunch, options: VllmOptions) -> None:
        if launch.model_path.endswith(".gguf"):
            raise InvalidRequest(
                f"engine vllm takes a model in Hugging Face format, not {launch.model_path}; llamacpp takes GGUF files"
            )
        self._model_name = launch.model_name
        self._process = VllmProcess(launch, options.kv_events, self._heard)
        self._transfer_s = options.transfer_timeout_s
        self._counts = Counts()
        self._feed: EventFeed | None = None
        self._early: list[Events] = []
        self._numbers = itertools.count()
        self._streams: dict[str, Any] = {}
        self._aborts: set[asyncio.Task[None]] = set()
        self._started: _Started | None = None

    async def start(self) -> EngineInfo:
        from dynamo_cli.workers.engines.vllm.stats import stat_logger_of

        engine = await self._process.start(lambda: [stat_logger_of(self._counts)])
        config = engine.vllm_config
        ranks: int = config.parallel_config.data_parallel_size
        block_size, blocks = config.cache_config.block_size, config.cache_config.num_gpu_blocks or 0
        self._counts.total_blocks = blocks
        tells_events = self._process.tells_events
        if tells_events:
            self._feed = EventFeed(block_size, lambda: self.on_kv_events)
            for message in self._early:
                self._feed.take(message)
        self._early.clear()
        pools = makes_embeddings(await engine.get_supported_tasks())
        lora = getattr(config, "lora_config", None)
        places = (lora.max_cpu_loras or lora.max_loras) if lora else 0
        controls = Controls(engine, config, self._cleared)
        self._started = _Started(
            engine=engine,
            context_length=config.model_config.max_model_len,
            adapters=Adapters(self._model_name, places),
            controls=controls,
            parameters=_parameters(config.model_config.get_diff_sampling_param(), HandOvers()),
            embeds=pools,
        )
        return EngineInfo(
            context_length=config.model_config.max_model_len,
            kv_block_size=block_size,
            total_kv_blocks=blocks,
            max_num_seqs=config.scheduler_config.max_num_seqs * ranks,
            max_num_batched_tokens=config.scheduler_config.max_num_batched_tokens * ranks,
            logprobs=not pools,
            guided=() if pools else GUIDED,
            kv_events=tells_events,
            prefix_caching=bool(config.cache_config.enable_prefix_caching),
            controls=controls.names,
            data_parallel_size=ranks,
            max_adapters=places,
            modalities=() if pools else modalities_of(config.model_config),
            embedding_size=embedding_size(config.model_config) if pools else 0,
            dimensions=pools and bool(getattr(config.model_config, "is_matryoshka", False)),
        )

    async def generate(self, request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        started = self._ready()
        if started.embeds:
            raise InvalidRequest(f"{self._model_name} makes embeddings; it generates nothing")
        engine, output, unread = started.engine, Output(request, self._counts.transferred), len(request.token_ids)
        parameters = _asked(started.parameters, request, _checked_max_tokens(request, started.context_length))
        adapter = started.adapters.request_of(request.model)
        if context.stopped:
            yield output.last("cancelled")
            return
        number = str(next(self._numbers))
        self._counts.begin(unread)
        patience = self._transfer_s if request.handover is not None else None
        try:
            prompt = await _prompt_of(request)
            found = await engine.add_request(number, prompt, parameters, lora_request=adapter)
            self._streams[number] = found
            context.on_stop(lambda: self._abort(number))
            while not output.finished:
                delta = output.take(found.get_nowait() or await _next(found, patience))
                patience = None
                if unread:
                    self._counts.prefilled(unread)
                    unread = 0
                yield delta
        except DynamoError:
            raise
        except AssertionError as error:
            if not request.media or output.begun:
                raise self._meaning(error) from None
            # This is how it says that there are not as many places in the prompt as media.
            raise InvalidRequest(f"messages: {one_line(str(error))}") from None
        except Exception as error:
            raise self._meaning(error) from None
        finally:
            self._counts.prefilled(unread)
            self._counts.end()
            self._streams.pop(number, None)
            if not output.finished and self._started is not None:
                await engine.abort(number)

    async def embed(self, request: EngineRequest, context: Context) -> list[float]:
        started = self._ready()
        if not started.embeds:
            raise InvalidRequest(f"{self._model_name} generates text; start vLLM with --runner pooling for embeddings")
        prompt, number = _checked_prompt(request, started.context_length), str(next(self._numbers))
        adapter = started.adapters.request_of(request.model)
        self._counts.begin(prompt)
        try:
            return await embedding(
                started.engine, _prompt(request.token_ids), request.embedding, number, adapter, context
            )
        except DynamoError:
            raise
        except Exception as error:
            raise self._meaning(error) from None
        finally:
            self._counts.prefilled(prompt)
            self._counts.end()

    def load(self) -> WorkerLoad | None:
        return self._counts.load()

    def metrics(self) -> str:
        from dynamo_cli.workers.engines.vllm.stats import own_series

        return own_series() if self._started is not None else ""

    async def control(self, name: Control, arguments: dict[str, Any]) -> dict[str, Any]:
        return await self._ready().controls.run(name, arguments)

    async def add_adapter(self, adapter: Adapter) -> None:
        started = self._ready()
        await started.adapters.add(started.engine, adapter)

    async def remove_adapter(self, name: str) -> None:
        started = self._ready()
        await started.adapters.remove(started.engine, name)

    async def let_go(self, handover: Handover) -> None:
        await let_go(self._ready().engine, handover)

    async def stop(self) -> None:
        self._started = None
        for stream in self._streams.values():
            stream.put(EngineDied("vLLM has stopped"))
        await self._process.stop()

    async def failed(self) -> str:
        return await self._process.died()

    def _ready(self) -> _Started:
        if self._started is None:
            raise EngineDied("vLLM is not running")
        return self._started

    def _abort(self, number: str) -> None:
        if number in self._streams and self._started is not None:
            task = asyncio.ensure_future(self._started.engine.abort(number))
            self._aborts.add(task)
            task.add_done_callback(self._aborts.discard)

    def _heard(self, message: Events) -> None:
        if self._feed is not None:
            self._feed.take(message)
        else:
            self._early.append(message)

    def _cleared(self) -> None:
        if self._feed is not None:
            self._feed.cleared()

    def _meaning(self, error: Exception) -> DynamoError:
        from vllm.v1.engine.exceptions import EngineDeadError

        if isinstance(error, EngineDeadError) or self._started is None or self._started.engine.errored:
            return EngineDied("vLLM has died")
        names = {kind.__name__ for kind in type(error).__mro__}
        if names & {"QueueOverflowError", "MaxQueuedTokensError"}:
            return Overloaded(f"vLLM: {one_line(str(error))}")
        if names & {"VLLMClientError", "ValueError", "TypeError", "OverflowError"}:
            return InvalidRequest(one_line(str(error)))
        return EngineFailed(f"vLLM: {type(error).__name__}: {one_line(str(error))}")


async def _next(found: Any, patience_s: float | None) -> Any:
    """`patience_s`: for the first output of a prompt whose KV is fetched. Raises TransferFailed after it."""
    if patience_s is None:
        return await found.get()
    try:
        return await asyncio.wait_for(found.get(), patience_s)
    except asyncio.TimeoutError:
        raise TransferFailed(f"no KV came from the prefill worker in {patience_s:g} s") from None


async def _prompt_of(request: EngineRequest) -> Any:
    if not request.media:
        return _prompt(request.token_ids)
    # vLLM puts as many placeholders as each needs where the template has one.
    data = await asyncio.to_thread(multi_modal_data, request.media)
    return {"prompt_token_ids": request.token_ids, "multi_modal_data": data}


def _prompt(token_ids: list[int]) -> Any:
    """In the form that needs no preprocessing in another thread; older versions ignore the type."""
    return {"type": "token", "prompt_token_ids": token_ids}


def _parameters(defaults: dict[str, Any], handovers: HandOvers) -> Callable[[EngineRequest, int], Any]:
    from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

    def make(request: EngineRequest, max_tokens: int) -> Any:
        arguments = sampling_arguments(request, max_tokens, defaults)
        transfer = handovers.parameters(request)
        if transfer is not None:
            arguments["extra_args"] = {"kv_transfer_params": transfer}
        if request.guided is not None and not request.prefill_only:
            arguments["structured_outputs"] = StructuredOutputsParams(**guided_arguments(request.guided))
        return SamplingParams(output_kind=RequestOutputKind.DELTA, **arguments)

    return make


def _asked(make: Callable[[EngineRequest, int], Any], request: EngineRequest, max_tokens: int) -> Any:
    try:
        return make(request, max_tokens)
    except DynamoError:
        raise
    except Exception as error:
        raise InvalidRequest(one_line(str(error))) from None


def _checked_prompt(request: EngineRequest, context_length: int) -> int:
    prompt = len(request.token_ids)
    if not prompt:
        raise InvalidRequest("vLLM takes token ids, and there are none", "prompt")
    if prompt > context_length:
        raise InvalidRequest(f"{prompt} prompt tokens do not fit the context of {context_length}", "prompt")
    return prompt


def _checked_max_tokens(request: EngineRequest, context_length: int) -> int:
    prompt = _checked_prompt(request, context_length)
    room = context_length - prompt
    max_tokens = room if request.stop.max_tokens is None else request.stop.max_tokens
    if max_tokens < 1 or max_tokens > room:
        raise InvalidRequest(
            f"{prompt} prompt tokens and {max_tokens} to generate do not fit the context of {context_length}",
            "max_tokens",
        )
    return max_tokens
