"""A TCP relay between subscribers and publishers that loses, doubles, swaps and maims frames, and cuts connections."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter

import msgspec

from dynamo_cli.runtime.discovery.memory import MemoryDiscovery, MemoryStore
from dynamo_cli.runtime.events.announcement import EVENTS_PREFIX, Announcement
from dynamo_cli.runtime.links.frames import LENGTH_BYTES, FrameReader
from dynamo_cli.runtime.links.link import host_and_port

HANDSHAKE_FRAMES = 2
LOSSES = ("lose", "double", "swap")
BREAKS = ("truncate", "cut")
"""The subscriber has to connect again."""


class Relay:
    """Leads to one publisher. While `chance` is 0 it is a perfect connection, else a frame has one of the fates."""

    def __init__(self, address: str, seed: int, fates: tuple[str, ...] = LOSSES) -> None:
        self.chance = 0.0
        self._kinds = fates
        self.fates: Counter[str] = Counter()
        self._to = host_and_port(address)
        self._random = random.Random(seed)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> str:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Every connection breaks now."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def close(self) -> None:
        self._server.close()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        assert not self._tasks
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        ends = [writer]
        self._writers.add(writer)
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(*self._to)
            ends.append(far_writer)
            self._writers.add(far_writer)
            pumps = self._pump(reader, far_writer, 1), self._pump(far_reader, writer, HANDSHAKE_FRAMES)
            await asyncio.gather(*pumps)
        for end in ends:
            self._writers.discard(end)
            end.close()
            with contextlib.suppress(OSError):
                await end.wait_closed()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, spared: int) -> None:
        frames = FrameReader()
        passed = 0
        held: list[bytes] = []
        with contextlib.suppress(OSError):
            while (data := await reader.read(1 << 16)) and not writer.is_closing():
                for view in frames.feed(data):
                    frame = len(view).to_bytes(LENGTH_BYTES, "big") + bytes(view)
                    passed += 1
                    for out in self._fate(frame, held) if passed > spared else [frame]:
                        writer.write(out)
                await writer.drain()
        writer.close()

    def _fate(self, frame: bytes, held: list[bytes]) -> list[bytes]:
        """What goes on when this frame comes; one that is `held` goes after the next."""
        waiting = held[:]
        held.clear()
        fate = self._random.choice(self._kinds) if self._random.random() < self.chance else "pass"
        self.fates[fate] += 1
        if fate == "swap":
            held.append(frame)
        elif fate == "cut":
            self.cut()
        return {"double": [frame, frame], "truncate": [_truncated(frame)], "pass": [frame]}.get(fate, []) + waiting


def _truncated(frame: bytes) -> bytes:
    """Its first half, under a length that is right for it."""
    half = frame[LENGTH_BYTES : LENGTH_BYTES + (len(frame) - LENGTH_BYTES) // 2]
    return len(half).to_bytes(LENGTH_BYTES, "big") + half


class RelayedDiscovery(MemoryDiscovery):
    """Whoever is announced here is reached through a relay."""

    def __init__(self, store: MemoryStore, relays: list[Relay]) -> None:
        super().__init__(store)
        self._relays = relays

    async def put(self, key: str, value: bytes) -> None:
        if key.startswith(EVENTS_PREFIX):
            announcement = msgspec.msgpack.decode(value, type=Announcement)
            relay = Relay(announcement.address, len(self._relays))
            self._relays.append(relay)
            value = msgspec.msgpack.encode(Announcement(await relay.open(), announcement.owner))
        await super().put(key, value)
