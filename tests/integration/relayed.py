"""A frontend and mock workers as real processes; the workers' events come through relays of the test."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec

from dynamo_cli.runtime.discovery.file import FileDiscovery
from dynamo_cli.runtime.events.announcement import EVENTS_PREFIX, Announcement, publisher_of
from dynamo_cli.runtime.paths import DeploymentPaths
from tests.frontend.processes import Process, started
from tests.runtime.events.lossy import BREAKS, LOSSES, Relay

MODEL = "mine"
OPTIONS = {"speedup_ratio": 0, "block_size": 16, "num_gpu_blocks": 300, "num_host_blocks": 60}
"""Room for the prompts of some fifteen requests."""
_WORDS = ("the", "water", "people", "find", "long", "day", "come", "made", "part", "may", "number", "see")
_LANES = 6
Blocks = dict[str, set[str]]


async def until(reached: Callable[[], Awaitable[Any]], seconds: float, what: str) -> Any:
    """The first true value."""
    deadline = time.monotonic() + seconds
    while not (value := await reached()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        await asyncio.sleep(0.01)
    return value


class Mirror:
    """Keeps in `there` all that is in `here`, but a publisher's address there is that of its relay.

    While `reachable` is false nobody listens at that address.
    """

    def __init__(self, here: Path, there: Path) -> None:
        self.relays: dict[int, Relay] = {}
        self.reachable = True
        self._announced: dict[str, Announcement] = {}
        self._here, self._there = FileDiscovery(here), FileDiscovery(there)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Mirror]:
        task = asyncio.ensure_future(self._follow())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])
            for relay in self.relays.values():
                await relay.close()
            await self._there.close()
            await self._here.close()

    def disturb(self, chance: float) -> None:
        for relay in self.relays.values():
            relay.chance = chance

    async def mend(self) -> None:
        """Announce everybody anew, within reach."""
        self.reachable = True
        for key, announcement in self._announced.items():
            await self._announce(key, announcement)

    async def _follow(self) -> None:
        async with self._here.watch_prefix("v1/") as watch:
            for key, value in watch.initial.items():
                await self._put(key, value)
            while True:
                for event in await watch.next():
                    if event.kind == "put":
                        await self._put(event.key, event.value)
                    else:
                        await self._there.delete(event.key)

    async def _put(self, key: str, value: bytes) -> None:
        if not key.startswith(EVENTS_PREFIX):
            await self._there.put(key, value)
            return
        self._announced[key] = msgspec.msgpack.decode(value, type=Announcement)
        await self._announce(key, self._announced[key])

    async def _announce(self, key: str, announcement: Announcement) -> None:
        address = await self._relay(key, announcement.address) if self.reachable else _nobodys_address()
        await self._there.put(key, msgspec.msgpack.encode(Announcement(address, announcement.owner)))

    async def _relay(self, key: str, address: str) -> str:
        """Cut-off connections are one fate in a few: each takes the subscriber a while."""
        relay = Relay(address, len(self.relays), LOSSES * 3 + BREAKS)
        self.relays[publisher_of(key)] = relay
        return await relay.open()


def _nobodys_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{free.getsockname()[1]}"


class Component(NamedTuple):
    """`name`: a frontend's URL, a worker's instance id in hex."""

    service: str
    process: Process
    name: str


class Relayed:
    """Frontends see workers as the mirror shows them."""

    def __init__(self, roots: tuple[Path, Path], mirror: Mirror, start: Callable[..., Process]) -> None:
        self.mirror = mirror
        self._here, self._there = roots
        self._start = start
        self._paths = DeploymentPaths("local")
        self._number = count()

    async def worker(self) -> Component:
        options = msgspec.json.encode(OPTIONS).decode()
        words = ("worker", "--engine", "mock", "--model-name", MODEL, "--options", options)
        service, process = await self._run("worker", self._here, words, f"serving {MODEL}")
        return Component(service, process, (await self._get(service, "/health"))["instance"])

    async def frontend(self) -> Component:
        words = ("frontend", "--http-port", "0", "--router-mode", "kv")
        service, process = await self._run("frontend", self._there, words, "serving on")
        return Component(service, process, process.url)

    async def held(self, worker: Component) -> Blocks:
        """What it holds, in its own words."""
        return _sets(await self._get(worker.service, "/kv_blocks"))

    async def index(self, frontend: Component, worker: Component) -> Blocks | None:
        """What a frontend thinks that a worker holds; None when it knows no such worker."""
        answer = await self._get(frontend.service, f"/router/blocks/{worker.name}")
        return _sets(answer["models"][MODEL]["workers"][worker.name]) if "models" in answer else None

    async def _run(self, kind: str, root: Path, words: tuple[str, ...], ready: str) -> tuple[str, Process]:
        service = f"{kind}-{next(self._number)}"
        env = {**os.environ, "DYNAMO_SERVICE": service, "DYN_FILE_KV": str(root)}
        process = self._start(*words, env=env)

        async def is_ready() -> bool:
            return ready in process.log

        await until(is_ready, 30.0, service)
        return service, process

    async def _get(self, service: str, path: str) -> Any:
        transport = httpx.AsyncHTTPTransport(verify=False, uds=str(self._paths.admin_socket(service)))
        async with httpx.AsyncClient(transport=transport, base_url="http://admin", timeout=20.0) as client:
            return msgspec.json.decode((await client.get(path)).content)


@asynccontextmanager
async def relayed(home: Path) -> AsyncIterator[Relayed]:
    """Nothing runs yet; all that was started ends with the block."""
    roots = home / "here", home / "there"
    with started(home) as start:
        async with Mirror(*roots).running() as mirror:
            yield Relayed(roots, mirror, start)


@asynccontextmanager
async def load(frontend: Component) -> AsyncIterator[Counter[int]]:
    """Requests that share beginnings, several at a time, until the end of the block; the answers by status."""
    answers: Counter[int] = Counter()
    rng = random.Random(1)
    beginnings = [" ".join(rng.choices(_WORDS, k=150)) for _ in range(8)]

    async def lane(client: httpx.AsyncClient) -> None:
        while True:
            answers[await ask(client, f"{rng.choice(beginnings)} {' '.join(rng.choices(_WORDS, k=100))}")] += 1

    async with httpx.AsyncClient(base_url=frontend.name, timeout=20.0, trust_env=False) as client:
        lanes = [asyncio.ensure_future(lane(client)) for _ in range(_LANES)]
        try:
            yield answers
        finally:
            for one in lanes:
                one.cancel()
            await asyncio.wait(lanes)


async def ask(client: httpx.AsyncClient, text: str) -> int:
    """The status of the answer."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 20, "ignore_eos": True}
    return (await client.post("/v1/chat/completions", json=body)).status_code


def _sets(tiers: dict[str, Any]) -> Blocks:
    for tier in tiers.values():
        assert tier["blocks"] == len(tier["hashes"] if "hashes" in tier else ())
    return {name: set(tier.get("hashes", ())) for name, tier in tiers.items()}
