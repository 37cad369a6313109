"""What every way to move bytes promises, over all of them."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import mmap
import os
import signal
import sys
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from dynamo_cli.disagg.transfer.base import Ticket, Transfer, TransferKind, read_ticket
from dynamo_cli.disagg.transfer.nixl import NixlTransfer
from dynamo_cli.disagg.transfer.open import open_transfer
from dynamo_cli.disagg.transfer.tcp import TcpTransfer
from dynamo_cli.errors import EngineMissing, Overloaded, TransferFailed
from tests.disagg.transfer.patterns import pattern

NIXL = importlib.util.find_spec("nixl") is not None
needs_nixl = pytest.mark.skipif(not NIXL, reason="nixl is not installed: pip install --no-deps nixl nixl-cu13")
KINDS: dict[TransferKind, type[Transfer]] = {"tcp": TcpTransfer, "nixl": NixlTransfer}
MIB = 1 << 20
STALL_S = 0.5

Make = Callable[..., Awaitable[Transfer]]


@pytest.fixture(params=["tcp", pytest.param("nixl", marks=[needs_nixl, pytest.mark.filterwarnings("ignore")])])
def kind(request: pytest.FixtureRequest) -> TransferKind:
    kind: TransferKind = request.param
    return kind


@pytest_asyncio.fixture
async def make(kind: TransferKind) -> AsyncIterator[Make]:
    """Starts transfers; none leaves a descriptor behind, but NIXL keeps some of its own."""
    made: list[Transfer] = []

    async def start(**limits: Any) -> Transfer:
        transfer = KINDS[kind](**{"stall_s": STALL_S, **limits})
        made.append(transfer)
        await transfer.start()
        return transfer

    gc.collect()
    before = descriptors()
    yield start
    for transfer in made:
        await transfer.close()
        assert transfer.counts.held == transfer.counts.held_bytes == 0
    if kind == "tcp":
        assert descriptors() == before


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came")


@pytest.mark.parametrize("size", [0, 1, 4096, MIB - 1, MIB, 3 * MIB + 17, 64 * MIB])
async def test_what_is_offered_arrives_and_is_freed(make: Make, size: int) -> None:
    prefill, decode = await make(), await make()
    data = pattern(size)
    ticket = prefill.offer(data)
    assert ticket.size == size
    assert await decode.fetch(ticket) == data
    await until(lambda: prefill.counts.held == 0)
    assert (prefill.counts.sent, prefill.counts.sent_bytes) == (1, size)
    assert (decode.counts.fetched, decode.counts.fetched_bytes) == (1, size)


async def test_the_ticket_is_plain_data(make: Make) -> None:
    prefill, decode = await make(), await make()
    ticket = prefill.offer(b"some KV")
    for codec in (msgspec.json, msgspec.msgpack):
        assert read_ticket(codec.decode(codec.encode(msgspec.to_builtins(ticket)))) == ticket
    assert bytes(await decode.fetch(read_ticket(msgspec.to_builtins(ticket)))) == b"some KV"


async def test_it_reads_and_fills_memory_in_place(make: Make) -> None:
    prefill, decode = await make(), await make()
    data = pattern(2 * MIB)
    source, target = mmap.mmap(-1, len(data)), mmap.mmap(-1, len(data))
    source[:] = data
    ticket = prefill.offer(source)
    forgotten = weakref.ref(source)
    del source
    assert forgotten() is not None
    await decode.fetch(ticket, target)
    assert target[:] == data
    await until(lambda: forgotten() is None)


async def test_memory_of_another_size_is_a_mistake(make: Make) -> None:
    prefill = await make()
    with pytest.raises(ValueError, match="do not fit"):
        await prefill.fetch(prefill.offer(b"abc"), bytearray(4))


async def test_a_ticket_that_nobody_uses_expires(make: Make) -> None:
    prefill, decode = await make(expiry_s=0.05), await make()
    data = mmap.mmap(-1, MIB)
    forgotten = weakref.ref(data)
    ticket = prefill.offer(data)
    del data
    assert prefill.counts.held_bytes == MIB
    await until(lambda: forgotten() is None)
    assert (prefill.counts.expired, prefill.counts.held) == (1, 0)
    with pytest.raises(TransferFailed, match="not offered any more"):
        await decode.fetch(ticket)
    assert prefill.counts.refused == decode.counts.failed == 1


async def test_a_released_one_is_gone(make: Make) -> None:
    prefill, decode = await make(), await make()
    ticket = prefill.offer(b"abc")
    prefill.release(ticket)
    prefill.release(ticket)
    assert prefill.counts.held == prefill.counts.expired == 0
    with pytest.raises(TransferFailed, match="not offered any more"):
        await decode.fetch(ticket)


async def test_a_ticket_is_good_for_one_fetch(make: Make) -> None:
    prefill, decode = await make(), await make()
    ticket = prefill.offer(b"abc")
    await decode.fetch(ticket)
    await until(lambda: prefill.counts.held == 0)
    with pytest.raises(TransferFailed):
        await decode.fetch(ticket)


@pytest.mark.parametrize(
    "forged",
    [{"key": "00" * 32}, {"key": "not hexadecimal"}, {"offer": "0" * 16}, {"address": "tcp://127.0.0.1:1"},
     {"address": "nonsense"}, {"address": "tcp://host.invalid:80"}],
    ids=str,
)  # fmt: skip
async def test_who_does_not_hold_the_ticket_gets_nothing(make: Make, forged: dict[str, str]) -> None:
    prefill, decode = await make(), await make()
    ticket = prefill.offer(b"secret")
    target = bytearray(6)
    with pytest.raises(TransferFailed):
        await decode.fetch(msgspec.structs.replace(ticket, **forged), target)
    assert target == bytes(6)
    assert bytes(await decode.fetch(ticket)) == b"secret"


@pytest.mark.parametrize("data", [None, {}, {"transfer": "pigeon"}, "ticket"], ids=str)
def test_what_is_no_ticket_is_refused(data: object) -> None:
    with pytest.raises(TransferFailed, match="no ticket"):
        read_ticket(data)


async def test_a_ticket_of_another_kind_names_the_option(make: Make, kind: TransferKind) -> None:
    decode = await make()
    other: TransferKind = "nixl" if kind == "tcp" else "tcp"
    with pytest.raises(TransferFailed, match="same option `transfer`"):
        await decode.fetch(Ticket(other, decode.address, "0", "00", 1))


async def test_many_are_fetched_at_once(make: Make) -> None:
    prefill, decode, other = await make(), await make(), await make()
    data = [pattern(size, seed=size) for size in (3 * MIB, 10, 0, MIB, 5 * MIB, 2 * MIB)]
    tickets = [prefill.offer(each) for each in data]
    got = await asyncio.gather(*((decode, other)[n % 2].fetch(ticket) for n, ticket in enumerate(tickets)))
    assert got == data
    await until(lambda: prefill.counts.held == 0)


async def test_one_is_fetched_by_two_at_once(make: Make) -> None:
    prefill, decode, other = await make(), await make(), await make()
    data = pattern(4 * MIB)
    ticket = prefill.offer(data)
    got = await asyncio.gather(decode.fetch(ticket), other.fetch(ticket), return_exceptions=True)
    assert data in got
    assert all(isinstance(each, TransferFailed) or each == data for each in got)


async def test_a_cancelled_fetch_frees_both_sides(make: Make) -> None:
    prefill, decode = await make(expiry_s=60), await make()
    source, target = mmap.mmap(-1, 64 * MIB), mmap.mmap(-1, 64 * MIB)
    forgotten = [weakref.ref(source), weakref.ref(target)]
    ticket = prefill.offer(source)
    fetch = asyncio.create_task(decode.fetch(ticket, target))
    del source, target
    await until(lambda: any(offer.readers for offer in prefill.offers))
    await asyncio.sleep(0)
    fetch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetch
    del fetch
    await until(lambda: not prefill.counts.held)
    await until(lambda: gc.collect() >= 0 and all(memory() is None for memory in forgotten))


async def test_no_more_is_held_than_allowed(make: Make) -> None:
    prefill = await make(most_held_bytes=100)
    first = prefill.offer(bytes(200))  # a single one always
    with pytest.raises(Overloaded, match="wait to be fetched"):
        prefill.offer(b"x")
    prefill.release(first)
    prefill.offer(bytes(100))


async def test_nothing_listens_after_close(make: Make) -> None:
    prefill, decode = await make(), await make()
    ticket = prefill.offer(b"abc")
    await prefill.close()
    await prefill.close()
    with pytest.raises(TransferFailed):
        await decode.fetch(ticket)


class Peer:
    """A process that offers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ticket(self) -> Ticket:
        assert self.process.stdout is not None
        return msgspec.json.decode(await self.process.stdout.readline(), type=Ticket)


@pytest_asyncio.fixture
async def peer(kind: TransferKind) -> AsyncIterator[Callable[..., Awaitable[Peer]]]:
    peers: list[Peer] = []

    async def start(*sizes: int) -> Peer:
        command = [sys.executable, "-m", "tests.disagg.transfer.peer", kind, *map(str, sizes)]
        pipe = asyncio.subprocess.PIPE
        peers.append(Peer(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)))
        return peers[-1]

    yield start
    for each in peers:
        if each.process.returncode is None:
            each.process.send_signal(signal.SIGCONT)
            each.process.kill()
        await each.process.communicate()


@pytest.mark.slow
async def test_it_works_between_processes(make: Make, peer: Callable[..., Awaitable[Peer]]) -> None:
    there, decode = await peer(20 * MIB, 0), await make(stall_s=10.0)
    assert await decode.fetch(await there.ticket()) == pattern(20 * MIB)
    assert await decode.fetch(await there.ticket()) == b""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("when", ["before", "during"])
async def test_the_death_of_who_offers_fails_in_time(
    make: Make, peer: Callable[..., Awaitable[Peer]], how: signal.Signals, when: str
) -> None:
    there, decode = await peer(64 * MIB), await make()
    ticket = await there.ticket()
    if when == "before":
        there.process.send_signal(how)
    began = time.monotonic()
    fetch = asyncio.create_task(decode.fetch(ticket))
    if when == "during":
        await asyncio.sleep(0.004)
        there.process.send_signal(how)
    try:
        assert await fetch == pattern(64 * MIB)
        assert when == "during"  # it was faster
    except TransferFailed:
        assert time.monotonic() - began < 10
    assert time.monotonic() - began < 20


def test_without_the_package_nixl_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nixl", None)
    monkeypatch.setitem(sys.modules, "nixl._api", None)

    async def start() -> None:
        transfer = open_transfer("nixl")
        try:
            await transfer.start()
        finally:
            await transfer.close()

    with pytest.raises(EngineMissing, match="pip install --no-deps nixl"):
        asyncio.run(start())
