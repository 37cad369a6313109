"""Clients that never rest: so many requests at a time, each answer compared to the text it has to be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from dynamo_cli.bench.chaos.asks import COMPLETIONS, Mixed
from dynamo_cli.bench.chaos.outcome import Outcome
from dynamo_cli.bench.load.connection import Connections
from dynamo_cli.bench.sample import Ask, Sample
from dynamo_cli.bench.target import Address
from dynamo_cli.errors import DynamoError

TIMEOUT_S = 120.0
PAUSE_S = 0.05
"""After an error: a server that is gone is not asked thousands of times a second."""


class Traffic:
    """`outcomes` grows with every answer. Times are those of `time.perf_counter`."""

    def __init__(self, address: Address, asks: Sequence[Mixed]) -> None:
        self.outcomes: list[Outcome] = []
        self._address = address
        self._asks = asks
        self._texts: dict[int, str] = {}
        self._kept = {COMPLETIONS: Connections(address, COMPLETIONS, {})}
        self._lanes: list[asyncio.Task[None]] = []
        self._over = False

    async def learn(self) -> None:
        """Ask everything once, undisturbed: these are the texts. DynamoError when a request fails."""
        samples = await asyncio.gather(*(self._send(number) for number in range(len(self._asks))))
        for number, sample in enumerate(samples):
            if sample.error or sample.completion_tokens != self._asks[number].tokens:
                raise DynamoError(f"a request failed before any fault: {sample.error} {sample.detail}")
            self._texts[number] = sample.text

    def begin(self) -> None:
        """From now on as many requests are under way as there are different ones."""
        self._lanes = [asyncio.create_task(self._lane(first)) for first in range(len(self._asks))]

    async def end(self) -> None:
        """Nothing new is sent; what is under way is awaited."""
        self._over = True
        await asyncio.gather(*self._lanes)
        self.close()

    def close(self) -> None:
        for lane in self._lanes:
            lane.cancel()
        for connections in self._kept.values():
            connections.close()

    async def answers(self) -> bool:
        """Whether a new request, over a new connection, is answered as it has to be."""
        ask = self._asks[0]
        sample = await self._send_anew(ask, 5.0)
        return not sample.error and sample.text == self._texts[0]

    async def _lane(self, first: int) -> None:
        number = first
        while not self._over:
            sample = await self._send(number)
            self.outcomes.append(self._judged(number, sample))
            if sample.error:
                await asyncio.sleep(PAUSE_S)
            number = (number + 1) % len(self._asks)

    def _judged(self, number: int, sample: Sample) -> Outcome:
        ask = self._asks[number]
        right = sample.text == self._texts[number] and sample.completion_tokens == ask.tokens
        return Outcome(
            started=sample.started,
            ended=time.perf_counter(),
            error=sample.error,
            detail=sample.detail,
            begun=bool(sample.reads),
            longest_gap_s=max(sample.between_reads_s(), default=0.0),
            first_s=sample.ttft_s if ask.stream else None,
            differs=not sample.error and not right,
        )

    async def _send(self, number: int) -> Sample:
        """Completions keep their connections; each chat has a new one, which any frontend may get."""
        ask = self._asks[number]
        if ask.path in self._kept:
            return await _exchange(self._kept[ask.path], ask, TIMEOUT_S)
        return await self._send_anew(ask, TIMEOUT_S)

    async def _send_anew(self, ask: Mixed, timeout_s: float) -> Sample:
        fresh = Connections(self._address, ask.path, {})
        try:
            return await _exchange(fresh, ask, timeout_s)
        finally:
            fresh.close()


async def _exchange(connections: Connections, ask: Mixed, timeout_s: float) -> Sample:
    try:
        connection = await connections.take(timeout_s)
    except (OSError, asyncio.TimeoutError) as error:
        return Sample(time.perf_counter(), "cannot connect", str(error) or type(error).__name__)
    try:
        return await connection.request(connections.request(ask.body), timeout_s, Ask(text=True))
    finally:
        connections.give(connection)
