"""What is particular to TCP: proof of the token, lost connections, dead processes, slow readers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dynamo_cli.protocol.kv import KvEvent
from dynamo_cli.runtime.discovery.file import FileDiscovery
from dynamo_cli.runtime.discovery.memory import MemoryDiscovery, MemoryStore
from dynamo_cli.runtime.discovery.owner import Owner, this_process
from dynamo_cli.runtime.events import tcp, tcp_publisher, tcp_subscriber
from dynamo_cli.runtime.events.announcement import Announcement, announcement_key, publisher_of
from dynamo_cli.runtime.events.base import no_state
from dynamo_cli.runtime.events.frames import Events, Follow, Snapshot, Tip, frame_decoder
from dynamo_cli.runtime.events.history import History
from dynamo_cli.runtime.events.tcp import TcpEventPlane
from dynamo_cli.runtime.links.auth import prove
from dynamo_cli.runtime.links.frames import Error, FrameReader, Purpose, Welcome, encode_frame
from dynamo_cli.runtime.links.link import host_and_port
from tests.runtime.events.copies import PLACE, Blocks, Copy, Heard
from tests.runtime.events.lossy import Relay, RelayedDiscovery
from tests.runtime.waiting import until

TOKEN = b"secret"
PATH = "dynamo/backend/kv"

PUBLISH = """
import asyncio, sys
from pathlib import Path
from dynamo_cli.runtime.discovery.file import FileDiscovery
from dynamo_cli.runtime.events.tcp import TcpEventPlane
async def main():
    plane = TcpEventPlane(b"secret", FileDiscovery(Path(sys.argv[1])), 1)
    publisher = await plane.publisher("dynamo", "backend", {"kv": lambda: ["state"]})
    number = 0
    while True:
        publisher.publish("kv", number)
        number += 1
        await asyncio.sleep(0.01)
asyncio.run(main())
"""


class Deployment:
    """Event planes that find each other, each publisher behind a relay."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.relays: list[Relay] = []
        self.planes: list[TcpEventPlane] = []

    def join(self, instance_id: int, token: bytes = TOKEN) -> TcpEventPlane:
        discovery = RelayedDiscovery(self.store, self.relays)
        self.planes.append(TcpEventPlane(token, discovery, instance_id))
        return self.planes[-1]

    async def close(self) -> None:
        for plane in self.planes:
            await plane.close()
        for relay in self.relays:
            await relay.close()


@pytest.fixture
async def deployment() -> AsyncIterator[Deployment]:
    made = Deployment()
    yield made
    await made.close()


class Peer:
    """A hand-made subscriber that reads only when told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._stream = reader
        self.writer = writer
        self._frames = FrameReader()
        self._ready: list[Any] = []

    def send(self, *frames: Any) -> None:
        for frame in frames:
            self.writer.write(frame if isinstance(frame, bytes) else encode_frame(frame))

    async def receive(self) -> Any:
        """The next frame; None when the connection is over."""
        while not self._ready:
            data = b""
            with contextlib.suppress(ConnectionError):
                data = await asyncio.wait_for(self._stream.read(65536), 5)
            if not data:
                return None
            self._ready += [frame_decoder.decode(frame) for frame in self._frames.feed(data)]
        return self._ready.pop(0)

    async def be_welcome(self, purpose: Purpose = "events") -> Any:
        self.send(prove(TOKEN, await self.receive(), purpose))
        return await self.receive()


@contextlib.asynccontextmanager
async def peer_of(plane: TcpEventPlane) -> AsyncIterator[Peer]:
    assert plane._server is not None
    peer = Peer(*await asyncio.open_connection(*host_and_port(plane._server.listener.address)))
    try:
        yield peer
    finally:
        peer.writer.close()
        with contextlib.suppress(ConnectionError):
            await peer.writer.wait_closed()


async def test_what_a_loop_pass_publishes_comes_in_one_frame(deployment: Deployment) -> None:
    plane = deployment.join(1)
    publisher = await plane.publisher(*PLACE, {"kv": no_state})
    async with peer_of(plane) as peer:
        assert isinstance(await peer.be_welcome(), Welcome)
        peer.send(Follow(PATH))
        snapshot, tip = await peer.receive(), await peer.receive()
        assert isinstance(snapshot, Snapshot) and isinstance(tip, Tip)
        for number in range(100):
            publisher.publish("kv", number)
        frame = await peer.receive()
        assert isinstance(frame, Events) and (frame.first, len(frame.items)) == (1, 100)
        assert frame.epoch == tip.epoch == snapshot.epoch


async def test_strangers_get_nothing(deployment: Deployment, caplog: pytest.LogCaptureFixture) -> None:
    plane = deployment.join(1)
    await plane.publisher(*PLACE, {"kv": lambda: ["private"]})
    async with peer_of(plane) as peer:
        peer.send(Follow(PATH))
        await peer.receive()
        assert isinstance(await peer.receive(), Error) and await peer.receive() is None
    for purpose in ("requests", "heartbeat"):
        async with peer_of(plane) as peer:
            assert isinstance(await peer.be_welcome(purpose), Error)
    for wrong in (b"\xff" * 64, b"\0\0\0\1\xc1", bytes(encode_frame(Tip(1, 1))), (1 << 20).to_bytes(4, "big")):
        async with peer_of(plane) as peer:
            await peer.be_welcome()
            peer.send(wrong)
            assert await peer.receive() is None
    async with peer_of(plane) as peer:
        await peer.be_welcome()
        peer.send(Follow("dynamo/backend/other"))
        answer = await peer.receive()
        assert isinstance(answer, Error) and "does not publish" in answer.message
        assert await peer.receive() is None


async def test_followers_are_bounded(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp_publisher, "_MOST_FOLLOWERS", 1)
    plane = deployment.join(1)
    await plane.publisher(*PLACE, {"kv": no_state})
    async with peer_of(plane) as one, peer_of(plane) as two:
        for peer in (one, two):
            await peer.be_welcome()
            peer.send(Follow(PATH))
        assert isinstance(await one.receive(), Snapshot)
        answer = await two.receive()
        assert isinstance(answer, Error) and answer.code == "overloaded"


async def test_another_token_is_one_clear_error(deployment: Deployment, caplog: pytest.LogCaptureFixture) -> None:
    await deployment.join(1).publisher(*PLACE, {"kv": no_state})
    copy = Copy()
    subscription = await deployment.join(9, b"another").subscribe(*PLACE, "kv", copy)
    await until(lambda: "token was not accepted" in caplog.text)
    await asyncio.sleep(0.3)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2 and any(PATH in line for line in lines)
    assert not copy.resets and not subscription.publishers()[1].connected


async def test_a_lost_connection_goes_on_where_it_was(deployment: Deployment, caplog: pytest.LogCaptureFixture) -> None:
    blocks = Blocks()
    await blocks.open(deployment.join(1))
    copy = Copy()
    subscription = await deployment.join(9).subscribe(*PLACE, "kv", copy, KvEvent)
    for number in range(5):
        await until(lambda: subscription.publishers()[1].connected and subscription.publishers()[1].whole)
        deployment.relays[0].cut()
        blocks.store([number])
        blocks.store([number + 100])
        await until(lambda: copy.held[1] == set(blocks.held))
    assert copy.resets == [1] and copy.gone == [] and len(copy.events) == 10
    assert caplog.text == ""


async def test_a_subscriber_that_missed_too_much_gets_the_state(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "History", lambda size: History(4))
    blocks = Blocks()
    await blocks.open(deployment.join(1))
    copy = Copy()
    subscription = await deployment.join(9).subscribe(*PLACE, "kv", copy, KvEvent)
    await until(lambda: subscription.publishers()[1].whole)
    deployment.relays[0].cut()
    for number in range(10):
        blocks.store([number])
        await asyncio.sleep(0)
    await until(lambda: copy.held[1] == set(blocks.held))
    assert copy.resets == [1, 1] and copy.gone == []


async def test_an_unreachable_publisher_is_trusted_for_a_while_only(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tcp_subscriber, "GRACE_S", 0.6)
    monkeypatch.setattr(tcp_subscriber, "_NOT_WORTH_A_LINE_S", 0.1)
    monkeypatch.setattr(tcp_subscriber, "_STEADY_S", 0.1)
    blocks = Blocks()
    blocks.store([1])
    await blocks.open(deployment.join(1))
    copy = Copy()
    subscription = await deployment.join(9).subscribe(*PLACE, "kv", copy, KvEvent)
    await until(lambda: copy.held == {1: {1}})
    relay = deployment.relays[0]
    port = relay._server.sockets[0].getsockname()[1]
    started = time.monotonic()
    await relay.close()
    await asyncio.sleep(0.1)
    assert copy.held == {1: {1}}
    await until(lambda: copy.gone == [1])
    assert 0.5 < time.monotonic() - started < 3
    assert not subscription.publishers()[1].connected
    relay._server = await asyncio.start_server(relay._accept, "127.0.0.1", port)
    await until(lambda: copy.held == {1: {1}})
    assert copy.resets == [1, 1]
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"{PATH} of 1: the events are lost, trying again: ")


async def test_a_silent_connection_is_given_up(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp_publisher, "BEAT_S", 60.0)
    monkeypatch.setattr(tcp_subscriber, "SILENCE_S", 0.2)
    monkeypatch.setattr(tcp_subscriber, "ANSWER_S", 0.1)
    blocks = Blocks()
    await blocks.open(deployment.join(1))
    copy = Copy()
    await deployment.join(9).subscribe(*PLACE, "kv", copy, KvEvent)
    server = deployment.planes[0]._server
    assert server is not None
    seen: set[int] = set()
    await until(lambda: seen.update(map(id, server.listener.links)) or len(seen) > 1)
    blocks.store([1])
    await until(lambda: copy.held == {1: {1}})
    assert copy.resets == [1]


async def test_a_killed_process_is_gone_at_once(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", PUBLISH, str(tmp_path)])
    discovery = FileDiscovery(tmp_path)
    plane = TcpEventPlane(TOKEN, discovery, 9)
    heard = Heard()
    try:
        await plane.subscribe(*PLACE, "kv", heard)
        await until(lambda: len(heard.calls) > 10, 20)
        assert heard.calls[:2] == [("reset", 1), (1, "state")]
        numbers = [payload for _, payload in heard.calls[2:]]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        os.kill(process.pid, signal.SIGKILL)
        killed = time.monotonic()
        await until(lambda: heard.calls[-1] == ("gone", 1))
        assert time.monotonic() - killed < 2
    finally:
        process.kill()
        process.wait()
        await plane.close()
        await discovery.close()


async def test_a_withdrawn_publisher_counts_until_its_connection_ends(deployment: Deployment) -> None:
    blocks = Blocks()
    plane = deployment.join(1)
    await blocks.open(plane)
    copy = Copy()
    subscription = await deployment.join(9).subscribe(*PLACE, "kv", copy, KvEvent)
    await until(lambda: subscription.publishers()[1].whole)
    await plane._withdraw(PATH)
    blocks.store([1])
    await until(lambda: copy.held == {1: {1}})
    await asyncio.sleep(0.05)
    assert copy.gone == []
    deployment.relays[0].cut()
    await until(lambda: copy.gone == [1])
    assert subscription.publishers() == {}


async def test_a_subscription_that_is_closed_is_kept_by_nobody(deployment: Deployment) -> None:
    plane = deployment.join(9)
    kept, closed = [await plane.subscribe(*PLACE, "kv", Copy(), KvEvent) for _ in range(2)]
    await closed.close()
    await closed.close()
    assert plane._subscriptions == {kept}


async def test_announcements_that_cannot_be_used(caplog: pytest.LogCaptureFixture) -> None:
    discovery = MemoryDiscovery(MemoryStore())
    plane = TcpEventPlane(TOKEN, discovery, 9)
    dead = Owner(this_process().host, 2**22 + 5, "1")
    good = msgspec.msgpack.encode(Announcement("tcp://127.0.0.1:9", dead))
    await discovery.put(announcement_key(PATH, 1), b"\xc1")
    await discovery.put(f"v1/events/{PATH}/nobody", good)
    await discovery.put(announcement_key(PATH, 2), good)
    copy = Copy()
    subscription = await plane.subscribe(*PLACE, "kv", copy)
    await until(lambda: "does not hold an announcement" in caplog.text and "does not name" in caplog.text)
    assert set(subscription.publishers()) == {2}
    await discovery.delete(announcement_key(PATH, 2))
    await until(lambda: not subscription.publishers())
    assert not copy.resets and not copy.gone and len(caplog.records) == 2
    assert publisher_of(announcement_key(PATH, 0xABC)) == 0xABC
    await plane.close()


async def test_a_slow_subscriber_costs_no_memory_and_ends_up_right(deployment: Deployment) -> None:
    plane = deployment.join(1)
    state = [0]
    publisher = await plane.publisher(*PLACE, {"kv": lambda: [("state", state[0])]}, remembered=1 << 20)
    async with peer_of(plane) as peer:
        await peer.be_welcome()
        peer.send(Follow(PATH))
        assert isinstance(await peer.receive(), Snapshot) and isinstance(await peer.receive(), Tip)
        server = plane._server
        assert server is not None
        [follower] = server.topics[PATH].followers
        for _ in range(300):
            for _ in range(10):
                state[0] += 1
                publisher.publish("kv", (state[0], bytes(20_000)))
            await asyncio.sleep(0)
        assert follower.reader.paused
        link = follower.reader
        assert link.transport.get_write_buffer_size() < 1 << 20  # type: ignore[attr-defined]
        assert server.topics[PATH]._history._bytes < 3 << 20
        frames: list[Any] = []
        while not (frames and isinstance(frames[-1], Tip)):
            frames.append(await peer.receive())
        [snapshot] = [frame for frame in frames if isinstance(frame, Snapshot)]
        assert msgspec.msgpack.decode(snapshot.items[0]) == ["state", 3000]
        assert frames[-1].sequence == 3000


async def test_no_thread_is_started(deployment: Deployment) -> None:
    before = threading.active_count()
    blocks = Blocks()
    await blocks.open(deployment.join(1))
    copy = Copy()
    await deployment.join(9).subscribe(*PLACE, "kv", copy, KvEvent)
    blocks.store([1])
    await until(lambda: copy.held == {1: {1}})
    assert threading.active_count() == before


class Fate:
    """One random history: workers that change, restart and lose connections; routers that come late."""

    def __init__(self, deployment: Deployment, seed: int) -> None:
        self.deployment = deployment
        self.random = random.Random(seed)
        self.workers: dict[int, tuple[TcpEventPlane, Blocks]] = {}
        self.copies: list[Copy] = []

    async def step(self) -> None:
        chance = self.random.random()
        if chance < 0.02 or not self.workers:
            await self.restart(self.random.choice((1, 2)))
        elif chance < 0.03 and len(self.copies) < 4:
            await self.add_copy()
        elif chance < 0.06:
            self.random.choice(self.deployment.relays).cut()
        elif chance < 0.12:
            for relay in self.deployment.relays:
                relay.chance = self.random.choice((0.0, 0.2, 0.5))
        else:
            self.change(self.random.choice(list(self.workers.values()))[1])
        if self.random.random() < 0.5:
            await asyncio.sleep(self.random.choice((0, 0, 0.005)))

    async def add_copy(self) -> None:
        self.copies.append(Copy())
        await self.deployment.join(9).subscribe(*PLACE, "kv", self.copies[-1], KvEvent)

    async def restart(self, number: int) -> None:
        if number in self.workers:
            await self.workers.pop(number)[0].close()
        plane, blocks = self.deployment.join(number), Blocks()
        self.change(blocks)
        await blocks.open(plane)
        self.deployment.relays[-1].chance = 0.2
        self.workers[number] = plane, blocks

    def change(self, blocks: Blocks) -> None:
        hashes = [self.random.randrange(200) for _ in range(self.random.randrange(1, 30))]
        how = self.random.random()
        if how < 0.02:
            blocks.clear()
        elif how < 0.55:
            blocks.store(hashes)
        else:
            blocks.remove(hashes)

    @property
    def truth(self) -> dict[int, set[int]]:
        return {number: set(blocks.held) for number, (_, blocks) in self.workers.items()}


# Before Python 3.12 asyncio forgets a socket that it accepts in the very pass in which its server closes.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("seed", range(4))
async def test_every_copy_is_right_two_seconds_after_the_last_loss(
    deployment: Deployment, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "History", lambda size: History(20))
    fate = Fate(deployment, seed)
    await fate.add_copy()
    for _ in range(400):
        await fate.step()
    for relay in deployment.relays:
        relay.chance = 0.0
    await until(lambda: all(copy.held == fate.truth for copy in fate.copies), 2.0)
    fates = sum((relay.fates for relay in deployment.relays), Counter())
    assert fates["lose"] + fates["double"] + fates["swap"] > 0
