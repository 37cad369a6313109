"""A cap on the requests of one worker: so many at the engine, a few waiting, the rest refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

from dynamo_cli.errors import Overloaded
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.gate import Gate

DEFAULT_QUEUE = 16
Generate = Callable[[EngineRequest, Context], AsyncIterator[Delta]]


class RequestLimit:
    """`at_engine` requests run, `queue` more wait their turn; `refused` counts those that were told Overloaded."""

    def __init__(self, at_engine: int, queue: int = DEFAULT_QUEUE) -> None:
        self.refused = 0
        self.gate = Gate(at_engine, queue)

    def metrics(self) -> str:
        """Prometheus text, under the reference's names."""
        return (
            "# TYPE dynamo_rejection_request counter\n"
            f"dynamo_rejection_request_total {self.refused}\n"
            "# TYPE dynamo_engine_request gauge\n"
            f"dynamo_engine_request {self.gate.inside}\n"
            "# TYPE dynamo_request_queue gauge\n"
            f"dynamo_request_queue {self.gate.waiting}\n"
        )

    async def generate(self, generate: Generate, request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        """The engine's own answer, when there is room for it. Raises Overloaded: another worker may have some."""
        try:
            entered = await self.gate.enter(context)
        except Overloaded:
            self.refused += 1
            raise
        if not entered:
            yield Delta(finish_reason="cancelled")
            return
        try:
            async with aclosing(generate(request, context)) as deltas:  # type: ignore[type-var]
                async for delta in deltas:
                    yield delta
        finally:
            self.gate.leave()
