"""The contract of an engine: tokens in, tokens out. The worker host owns everything else."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

import msgspec

from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.protocol.instance import Count, InputKind
from dynamo_cli.protocol.kv import KvEvent
from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.protocol.media import MediaKind
from dynamo_cli.runtime.context import Context

Control = Literal["clear_kv_blocks", "sleep", "wake_up", "pause", "resume", "start_profile", "stop_profile"]


class Adapter(msgspec.Struct, frozen=True):
    """LoRA weights in the directory `path`, served as the model `name`."""

    name: str
    path: str


class EngineInfo(msgspec.Struct, frozen=True):
    """What a started engine tells the model card. Counts are of tokens or KV blocks; 0 is unknown.

    `guided`: the fields of GuidedDecoding it can follow. Nobody asks it for what it does not declare.
    `resumes` is about input "text": see ModelIdentity. `kv_events`: it calls `on_kv_events`.
    `prefix_caching`: a prompt that begins like an earlier one costs less. `controls`: what `control` can do.
    `max_adapters`: how many it serves at once. `embedding_size`: numbers in a vector of `embed`, 0 for an engine that
    generates; those that embed do not. `dimensions`: it makes shorter vectors, too. `modalities`: the media it takes.
    `data_parallel_size`: how many engines it is, among which it spreads requests by itself; counts are of all of them.
    `bootstrap_host` and `bootstrap_port`: see ModelCard.
    """

    input: InputKind = "tokens"
    resumes: bool = False
    context_length: Count = 0
    kv_block_size: Count = 0
    total_kv_blocks: Count = 0
    max_num_seqs: Count = 0
    max_num_batched_tokens: Count = 0
    logprobs: bool = False
    guided: tuple[str, ...] = ()
    kv_events: bool = False
    prefix_caching: bool = True
    controls: tuple[Control, ...] = ()
    max_adapters: Count = 0
    embedding_size: Count = 0
    bootstrap_host: str = ""
    bootstrap_port: Count = 0
    dimensions: bool = False
    modalities: tuple[MediaKind, ...] = ()
    data_parallel_size: Count = 1


class Engine(ABC):
    """`on_kv_events`, of an engine that declares kv_events: called from the event loop with what has changed in the
    KV cache since the last time, the first time with all that it holds. Set once the engine has started.
    """

    on_kv_events: Callable[[list[KvEvent]], None] | None = None

    @abstractmethod
    async def start(self) -> EngineInfo:
        """Load the model. Called once, before anything else; raises DynamoError with one clear line."""

    @abstractmethod
    def generate(self, request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        """Stream one sequence. The last delta has a finish reason and the usage.

        Ends within one engine step, with finish reason "cancelled", when `context` is stopped; a closed iterator
        (aclose) frees the sequence too. Raises InvalidRequest for input the engine cannot take, EngineFailed when it
        breaks on this sequence, and EngineDied when it is gone: then another worker may go on.
        """

    async def embed(self, request: EngineRequest, context: Context) -> list[float]:
        """The vector of the prompt, of `EngineInfo.embedding_size` numbers, or as many as the request says if it can.

        Raises what `generate` raises, and Cancelled when `context` is stopped.
        """
        raise NotImplementedError

    async def let_go(self, handover: Handover) -> None:  # noqa: B027
        """Nobody will fetch what it has kept under this name: free it. Idempotent; takes any hand-over."""

    def load(self) -> WorkerLoad | None:
        """How loaded it is now, None when it cannot tell; what it does not know is 0.

        Asked from the event loop, many times a second: it looks at counters, it does not wait. Whether it can tell
        does not change after `start`.
        """
        return None

    def metrics(self) -> str:
        """The engine's own series in Prometheus' text form, each family with its # TYPE line; "" when it has none."""
        return ""

    async def control(self, name: Control, arguments: dict[str, Any]) -> dict[str, Any]:
        """Do one of `EngineInfo.controls`; the answer is JSON. Raises InvalidRequest for arguments it cannot take.

        A cleared KV cache is also told to `on_kv_events`. Of wake_up it has `awake` False while a part still sleeps.
        """
        raise NotImplementedError(name)

    async def add_adapter(self, adapter: Adapter) -> None:
        """Serve it from now on: a request whose `model` is its name is generated with it.

        Raises InvalidRequest when it cannot be loaded or all places are taken.
        """
        raise NotImplementedError

    async def remove_adapter(self, name: str) -> None:
        """Requests that run go on."""
        raise NotImplementedError

    async def drain(self) -> None:  # noqa: B027
        """Called when no new request will come; running ones go on."""

    @abstractmethod
    async def stop(self) -> None:
        """Free everything. Called once, also after a failed start."""

    async def failed(self) -> str:
        """Return, with the reason, when the engine dies on its own; never returns while it is healthy."""
        await asyncio.Event().wait()
        raise AssertionError("unreachable")
