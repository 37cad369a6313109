"""One process offers, this one fetches; the ways to transfer take turns, so that all meet the same machine."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from dynamo_cli.bench.transfer.offerer import Answer
from dynamo_cli.disagg.transfer.base import Transfer, TransferKind
from dynamo_cli.disagg.transfer.open import open_transfer
from dynamo_cli.errors import DynamoError

GIB = 1 << 30
WARM = 2
"""Fetches before it counts: connections are made and memory is touched."""


class Round(msgspec.Struct):
    """`wall_s` of the fetches alone; CPU seconds of each side."""

    fetched_bytes: int
    wall_s: float
    fetches: list[float]
    offering_cpu_s: float
    fetching_cpu_s: float


class Row(msgspec.Struct):
    """Medians over the rounds."""

    transfer: TransferKind
    size: int
    fetches: int
    ms: float
    gib_per_s: float
    offering_cpu_s_per_gib: float
    fetching_cpu_s_per_gib: float


class Offerer:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, size: int) -> Answer:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(b"%d\n" % size)
        line = await stdout.readline()
        if not line:
            raise DynamoError("the process that offers has ended; its own lines above say why")
        return msgspec.json.decode(line, type=Answer)


class Pair:
    """The two sides of one way to transfer."""

    def __init__(self, transfer: Transfer, offerer: Offerer) -> None:
        self.transfer = transfer
        self._offerer = offerer

    async def fetch(self, size: int, count: int) -> Round:
        into = bytearray(size)
        fetches = []
        before = (await self._offerer.ask(size)).cpu_s
        own_cpu_s = 0.0
        for _ in range(count):
            ticket = (await self._offerer.ask(size)).ticket
            began, cpu = time.perf_counter(), time.process_time()
            await self.transfer.fetch(ticket, into)
            fetches.append(time.perf_counter() - began)
            own_cpu_s += time.process_time() - cpu
        after = (await self._offerer.ask(size)).cpu_s
        return Round(size * count, sum(fetches), fetches, after - before, own_cpu_s)


@asynccontextmanager
async def pair(kind: TransferKind) -> AsyncIterator[Pair]:
    """Raises EngineMissing when this way cannot be used here."""
    transfer = open_transfer(kind)
    process = None
    try:
        await transfer.start()
        pipe = asyncio.subprocess.PIPE
        command = [sys.executable, "-m", "dynamo_cli.bench.transfer.offerer", kind]
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        yield Pair(transfer, Offerer(process))
    finally:
        await transfer.close()
        if process is not None and process.stdin is not None:
            process.stdin.close()
            await process.wait()


async def measure(kinds: Sequence[TransferKind], sizes: Sequence[int], rounds: int, most_bytes: int) -> list[Row]:
    """`most_bytes`: of each round, at least one fetch. Raises DynamoError."""
    rows = []
    async with AsyncExitStack() as stack:
        pairs = {kind: await stack.enter_async_context(pair(kind)) for kind in kinds}
        for size in sizes:
            count = max(1, min(200, most_bytes // size))
            found: dict[TransferKind, list[Round]] = {kind: [] for kind in kinds}
            for kind in kinds:
                await pairs[kind].fetch(size, WARM)
            for _ in range(rounds):
                for kind in kinds:
                    found[kind].append(await pairs[kind].fetch(size, count))
            rows += [row_of(kind, size, found[kind]) for kind in kinds]
    return rows


def row_of(kind: TransferKind, size: int, rounds: Sequence[Round]) -> Row:
    return Row(
        transfer=kind,
        size=size,
        fetches=sum(len(one.fetches) for one in rounds),
        ms=1000 * statistics.median(second for one in rounds for second in one.fetches),
        gib_per_s=statistics.median(one.fetched_bytes / GIB / one.wall_s for one in rounds),
        offering_cpu_s_per_gib=statistics.median(one.offering_cpu_s * GIB / one.fetched_bytes for one in rounds),
        fetching_cpu_s_per_gib=statistics.median(one.fetching_cpu_s * GIB / one.fetched_bytes for one in rounds),
    )
