"""A user's object behind the Engine contract: all it has to do is generate."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import msgspec

from dynamo_cli.errors import DynamoError, EngineDied, EngineFailed, InvalidRequest, UsageError
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.admission import admit
from dynamo_cli.workers.engine import Engine, EngineInfo
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.custom.ending import Ending
from dynamo_cli.workers.engines.custom.generator import takes_context
from dynamo_cli.workers.engines.custom.items import as_delta
from dynamo_cli.workers.engines.custom.place import described
from dynamo_cli.workers.engines.custom.pump import Pump
from dynamo_cli.workers.engines.text_input import prompt_pieces
from dynamo_cli.workers.gate import Gate

_log = logging.getLogger("dynamo.custom")
MOST_AT_ONCE = 256
TOLD = ("input", "context_length", "max_num_seqs", "logprobs", "guided", "modalities")
"""Fields of EngineInfo that an attribute of the same name sets."""


class PlainEngine(Engine):
    """`user` may have start, drain, stop (plain or async), failed as Engine has it, and the attributes of TOLD; start
    may return an EngineInfo.

    `generate` is called with the request, and with the context if it takes two arguments. The stop conditions, the
    usage, the load and the queue before more than max_num_seqs are not its affair. What it raises, but for a
    DynamoError, becomes EngineFailed with the line of its file.
    """

    def __init__(self, user: Any, generate: Callable[..., AsyncIterator[Any]], launch: EngineLaunch) -> None:
        self._user = user
        self._generate = generate
        self._takes_context = takes_context(generate)
        self._launch = launch
        self._info = EngineInfo()
        self._gate: Gate | None = None
        self._prefilling = 0
        self._pumps: set[Pump] = set()
        self._begun = False

    async def start(self) -> EngineInfo:
        self._begun = True
        told = await self._call("start")
        self._info = told if isinstance(told, EngineInfo) else _described(self._user, self._launch)
        if self._info.input == "tokens" and not self._launch.text_path:
            raise UsageError(
                'an engine that takes tokens needs a model for its tokenizer; set model, or input = "text"'
            )
        self._gate = Gate(self._info.max_num_seqs or MOST_AT_ONCE)
        return self._info

    async def generate(self, request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        gate = self._running()
        request = self._admitted(request)
        ending = Ending(request, len(request.token_ids) or prompt_pieces(request))
        unread = len(request.token_ids)
        self._prefilling += unread
        try:
            if not await gate.enter(context):
                yield ending.last("cancelled")
                return
            try:
                async with aclosing(self._pump(request, context)) as pump:
                    async for item in pump:
                        self._prefilling, unread = self._prefilling - unread, 0
                        if context.stopped:
                            break
                        taken = None if item is None else ending.take(as_delta(item, self._info.input))
                        if taken is not None:
                            yield taken
                        if ending.finish is not None:
                            break
            except Exception as error:
                raise _failure(error) from None
            finally:
                gate.leave()
        finally:
            self._prefilling -= unread
        yield ending.last("cancelled" if context.stopped else ending.finish or "stop")

    def load(self) -> WorkerLoad | None:
        gate = self._gate
        if gate is None:
            return None
        return WorkerLoad(active_prefill_tokens=self._prefilling, running=gate.inside, waiting=gate.waiting)

    async def drain(self) -> None:
        await self._call("drain")

    async def stop(self) -> None:
        await self._end_all("the engine has stopped")
        if self._begun:
            await self._call("stop")

    async def failed(self) -> str:
        reason = await self._call("failed")
        if not reason:
            return await super().failed()
        await self._end_all(str(reason))
        return str(reason)

    async def _end_all(self, reason: str) -> None:
        self._gate = None
        for pump in list(self._pumps):
            pump.end(EngineDied(reason))
            await pump.aclose()

    def _running(self) -> Gate:
        if self._gate is None:
            raise EngineDied("the engine is not running")
        return self._gate

    def _admitted(self, request: EngineRequest) -> EngineRequest:
        if request.output.logprobs is not None and not self._info.logprobs:
            raise InvalidRequest("this engine has no logprobs", "logprobs")
        if request.guided is not None and request.guided.kind not in self._info.guided:
            raise InvalidRequest(f"this engine cannot guide its text by {request.guided.kind}")
        return admit(request, self._info)

    def _pump(self, request: EngineRequest, context: Context) -> Pump:
        answers = self._generate(request, context) if self._takes_context else self._generate(request)
        if not hasattr(answers, "__anext__"):
            raise EngineFailed(f"generate returned {type(answers).__name__}; make it an async generator")
        pump = Pump(answers)
        self._pumps.add(pump)
        pump.on_close = lambda: self._pumps.discard(pump)
        context.on_stop(pump.end)
        return pump

    async def _call(self, name: str) -> Any:
        """A method the user may have."""
        method = getattr(self._user, name, None)
        if method is None:
            return None
        try:
            result = method()
            return await result if inspect.isawaitable(result) else result
        except Exception as error:
            raise _failure(error) from None


def _failure(error: Exception) -> DynamoError:
    if isinstance(error, DynamoError):
        return error
    words = described(error)
    _log.error("%s", words)
    _log.debug("where it came from", exc_info=error)
    return EngineFailed(words)


def _described(user: Any, launch: EngineLaunch) -> EngineInfo:
    """What its attributes say; input and context length are otherwise those of the model, if there is one."""
    told: dict[str, Any] = {"input": "tokens" if launch.text_path else "text", "context_length": launch.context_length}
    told |= {"max_num_seqs": MOST_AT_ONCE, "prefix_caching": False}
    told |= {name: getattr(user, name) for name in TOLD if hasattr(user, name)}
    try:
        return msgspec.convert(told, EngineInfo)
    except msgspec.ValidationError as error:
        raise UsageError(f"what {type(user).__name__} says of itself is wrong: {error}") from None
