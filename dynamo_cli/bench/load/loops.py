"""The two ways to offer load: a closed loop sends when an answer came, an open loop when a schedule says."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, nullcontext

from dynamo_cli.bench.load.arrivals import due_times
from dynamo_cli.bench.load.connection import Connections
from dynamo_cli.bench.load.log import Log
from dynamo_cli.bench.sample import Ask, Sample
from dynamo_cli.bench.work.stock import Prepared, Stock, Writer
from dynamo_cli.bench.workload import Workload

RECONNECT_S = 0.05
"""A server that is gone is not asked thousands of times a second."""


class Load:
    """Sends the conversations of `stock` and puts what comes of them into `log`."""

    def __init__(self, work: Workload, connections: Connections, writer: Writer, stock: Stock, log: Log) -> None:
        self._work = work
        self._connections = connections
        self._writer = writer
        self._stock = stock
        self._log = log
        most = work.max_concurrency if work.is_open else None
        self._place: AbstractAsyncContextManager[object] = asyncio.Semaphore(most) if most else nullcontext()

    async def run(self) -> None:
        """Until all is sent and answered. When cancelled, what is under way is given up without a trace."""
        tasks: set[asyncio.Task[None]] = set()
        try:
            if self._work.is_open:
                await self._open(tasks)
            else:
                tasks |= {asyncio.create_task(self._lane(n)) for n in range(self._lanes())}
            if tasks:
                await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    def _lanes(self) -> int:
        work = self._work
        return work.concurrency if work.requests is None else min(work.concurrency, work.requests)

    async def _lane(self, number: int) -> None:
        await self._log.until(number * self._work.ramp_s / self._work.concurrency)
        while not self._over(self._log.now_s) and (prepared := await self._stock.next()):
            await self._converse(prepared, None)

    async def _open(self, tasks: set[asyncio.Task[None]]) -> None:
        for due_s in self._schedule():
            if due_s is not None and self._over(due_s):
                return
            prepared = await self._stock.next()
            if prepared is None:
                return
            due_s = prepared.conversation.due_s if due_s is None else due_s
            if due_s is None or self._over(due_s):
                return
            await self._log.until(due_s)
            task = asyncio.create_task(self._converse(prepared, due_s))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    def _schedule(self) -> Iterator[float | None]:
        """When conversations begin; None: when their trace says. `rate` counts requests, so turns divide it."""
        work = self._work
        if work.rate is None:
            while True:
                yield None
        rate, rng = work.rate / work.shape.turns, random.Random(f"{work.shape.seed} arrivals")
        yield from due_times(work.arrivals, rate, burstiness=work.burstiness, ramp_s=work.ramp_s, rng=rng)

    def _over(self, at_s: float) -> bool:
        return self._work.duration_s is not None and at_s >= self._work.duration_s

    async def _converse(self, first: Prepared, due_s: float | None) -> None:
        """Turn by turn; a turn that failed ends it, for the later ones would carry a broken history."""
        prepared: Prepared | None = first
        while prepared is not None:
            sample = await self._exchange(prepared, due_s)
            if sample.error:
                return
            prepared.conversation.hear(sample.text)
            answered_s = self._log.now_s
            prepared = await self._writer.write(prepared.conversation)
            next_s = answered_s + self._work.think_s
            if prepared is None or self._over(next_s):
                return
            await self._log.until(next_s)
            due_s = next_s if self._work.is_open else None

    async def _exchange(self, prepared: Prepared, due_s: float | None) -> Sample:
        async with self._place:
            number = self._log.next_id()
            sample = await self._ask(prepared)
            self._log.add(number, prepared, due_s, sample)
            return sample

    async def _ask(self, prepared: Prepared) -> Sample:
        timeout_s = self._work.timeout_s
        try:
            connection = await self._connections.take(timeout_s)
        except (OSError, asyncio.TimeoutError) as error:
            sample = Sample(time.perf_counter(), "cannot connect", str(error) or type(error).__name__)
            await asyncio.sleep(RECONNECT_S)
            return sample
        ask = Ask(prepared.conversation.length > 1, prepared.cancel_after)
        try:
            return await connection.request(prepared.data, timeout_s, ask)
        finally:
            self._connections.give(connection)
