"""Asks an engine that has said nothing for a while for a token: one that hangs leaves the rotation."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress

import msgspec

from dynamo_cli.errors import DynamoError, ResourceMissing
from dynamo_cli.protocol.engine import Delta, Embedding, EngineRequest, StopConditions
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.canary_options import CanaryOptions
from dynamo_cli.workers.embedding import Answering
from dynamo_cli.workers.engine import EngineInfo
from dynamo_cli.workers.registration import Registration

REASON = "canary"
_CLEAN_UP_S = 1.0
_log = logging.getLogger("dynamo.worker")


class Canary:
    """`request` is what the engine is asked for. `failures` counts the times that nothing came."""

    def __init__(
        self, ask: Answering, request: EngineRequest, registration: Registration, options: CanaryOptions
    ) -> None:
        self.failures = 0
        self._ask = ask
        self._request = request
        self._registration = registration
        self._options = options
        self._heard_at = time.monotonic()
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch(), name="canary")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def metrics(self, labels: str) -> str:
        return (
            "# TYPE dynamo_component_canary_failures counter\n"
            f"dynamo_component_canary_failures_total{labels} {self.failures}\n"
        )

    async def listening(self, deltas: AsyncIterator[Delta]) -> AsyncGenerator[Delta, None]:
        """The deltas of a request: each of them says that the engine is well."""
        try:
            async for delta in deltas:
                if delta.token_ids or delta.text or delta.vector:
                    self._heard_at = time.monotonic()
                    if self._failing:
                        with suppress(ResourceMissing):  # none of this request's business; it is tried again
                            await self._recovered()
                yield delta
        finally:
            if isinstance(deltas, AsyncGenerator):
                await deltas.aclose()

    async def _watch(self) -> None:
        asked_at = 0.0
        while True:
            await asyncio.sleep(self._options.wait_s - (time.monotonic() - max(self._heard_at, asked_at)))
            elsewhere_out = self._registration.why_out and not self._failing
            if elsewhere_out or time.monotonic() - self._heard_at < self._options.wait_s:
                asked_at = time.monotonic() if elsewhere_out else asked_at
                continue
            asked_at = time.monotonic()
            problem = await self._problem()
            if not problem:
                self._heard_at = time.monotonic()
                try:
                    await self._recovered()
                except ResourceMissing as error:
                    _log.warning("the engine answers again, but stays out of rotation: %s", error)
            elif self._heard_at < asked_at:
                await self._failed(problem)

    async def _problem(self) -> str:
        """Why no token came; "" when one did."""
        context = Context("canary")
        asking = asyncio.ensure_future(self._first_token(context))
        done, _ = await asyncio.wait([asking], timeout=self._options.timeout_s)
        if not done:
            context.stop()
            asking.cancel()
            await asyncio.wait([asking], timeout=_CLEAN_UP_S)
            return f"the engine gave no token in {self._options.timeout_s:g} s"
        try:
            return asking.result()
        except DynamoError as error:
            return f"the engine gave no token: {error}"
        except Exception as error:
            _log.exception("the canary request failed")
            return f"the engine gave no token: {error!r}"

    async def _first_token(self, context: Context) -> str:
        deltas = self._ask(msgspec.structs.replace(self._request), context)
        try:
            async for delta in deltas:
                if delta.token_ids or delta.text or delta.vector:
                    return ""
        finally:
            if isinstance(deltas, AsyncGenerator):
                with suppress(DynamoError):
                    await deltas.aclose()
        return "the engine ended a request without a token"

    async def _failed(self, problem: str) -> None:
        self.failures += 1
        self._failing = True
        await self._registration.leave(REASON, problem)

    async def _recovered(self) -> None:
        if self._failing:
            await self._registration.come_back(REASON)
            self._failing = False


def canary_request(model: str, info: EngineInfo, options: CanaryOptions) -> EngineRequest:
    """One token after one token, unless the options say otherwise."""
    if options.payload is not None:
        return msgspec.structs.replace(options.payload, model=model)
    request = EngineRequest(model, stop=StopConditions(max_tokens=1, ignore_eos=True))
    if info.embedding_size:
        request.embedding = Embedding()
    if info.input == "text":
        request.messages = [{"role": "user", "content": "ready"}]
    else:
        request.token_ids = [1]
    return request
