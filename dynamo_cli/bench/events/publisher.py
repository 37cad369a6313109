"""A process that tells of a KV cache at a steady rate and serves nothing.

It registers with a copy of another worker's model card, so that frontends follow it; without an instance they send it
no request. Lines on stdin start and stop it, its end ends the process. Each line is answered with one: the blocks told
of as stored so far.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time

import msgspec

from dynamo_cli.bench.events.cache import EVENT_BLOCKS, FullCache
from dynamo_cli.errors import DynamoError, NotReady
from dynamo_cli.protocol.instance import MODELS_PREFIX, Instance, ModelCard
from dynamo_cli.protocol.kv import KV_TOPIC, KvEvent
from dynamo_cli.runtime.config import RuntimeConfig
from dynamo_cli.runtime.events.base import Publisher
from dynamo_cli.runtime.loop import run
from dynamo_cli.runtime.runtime import DistributedRuntime

STEP_S = 0.01
"""As an engine's: what has changed in a step is told in one message."""


class Steady:
    """Publishes `rate` blocks a second while it is on; what a late step has missed is made up for."""

    def __init__(self, cache: FullCache, publisher: Publisher, rate: float) -> None:
        self.told = 0
        self._cache = cache
        self._publisher = publisher
        self._event_s = EVENT_BLOCKS / rate
        self._task: asyncio.Task[None] | None = None

    def switch(self) -> None:
        if self._task is None:
            self._task = asyncio.ensure_future(self._publish())
        else:
            self._task.cancel()
            self._task = None

    async def _publish(self) -> None:
        due = time.monotonic()
        while True:
            events: list[KvEvent] = []
            now = time.monotonic()
            while due <= now:
                events += self._cache.turn()
                self.told += EVENT_BLOCKS
                due += self._event_s
            if events:
                self._publisher.publish(KV_TOPIC, events)
            await asyncio.sleep(STEP_S)


async def _serve(rate: float, seed: int) -> None:
    async with await DistributedRuntime.create(RuntimeConfig.from_args()) as runtime:
        example = await _some_card(runtime)
        place = example.instance.endpoint
        cache = FullCache(example.total_kv_blocks // EVENT_BLOCKS, seed)
        publisher = await runtime.events.publisher(place.namespace, place.component, {KV_TOPIC: cache.dump})
        instance = Instance(place, runtime.instance_id, "", os.getpid(), f"publisher-{seed}")
        card = msgspec.structs.replace(example, instance=instance)
        await runtime.discovery.put(card.key, msgspec.msgpack.encode(card))
        steady = Steady(cache, publisher, rate)
        _answer(0)
        lines = await _stdin()
        while await lines.readline():
            steady.switch()
            _answer(steady.told)


async def _some_card(runtime: DistributedRuntime) -> ModelCard:
    cards = await runtime.discovery.get_prefix(MODELS_PREFIX)
    if not cards:
        raise NotReady("no worker has registered a model here")
    return msgspec.msgpack.decode(next(iter(cards.values())), type=ModelCard)


async def _stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _answer(told: int) -> None:
    sys.stdout.write(f"{told}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, required=True, help="blocks per second")
    parser.add_argument("--seed", type=int, required=True, help="which blocks")
    given = parser.parse_args()
    try:
        run(_serve(given.rate, given.seed))
    except DynamoError as error:
        sys.stderr.write(f"dynamo: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
