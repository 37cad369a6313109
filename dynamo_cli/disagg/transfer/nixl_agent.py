"""A NIXL agent on a thread of its own: its calls may block, and it is not made for several threads at once."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, NamedTuple, TypeVar

from dynamo_cli.errors import EngineMissing, TransferFailed

INSTALL = "pip install --no-deps nixl nixl-cu13 && pip install numpy"
MEMORY = "DRAM"
# Several turns of both sides make a connection: longer pauses take longer, and no less CPU.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.0001, 0.0005
T = TypeVar("T")


class Published(NamedTuple):
    """Memory that peers can read. `metadata` says how to reach this agent, `descriptors` where the memory is."""

    registered: Any
    metadata: bytes
    descriptors: bytes


class Reading(NamedTuple):
    """A transfer that runs into this process's memory."""

    handle: Any
    registered: Any
    peer: str


class NixlAgent:
    """Every method raises TransferFailed for what NIXL reports, and after `close`."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "nixl")
        self._agent: Any = None
        self._numpy: Any = None

    async def start(self) -> None:
        """Raises EngineMissing when the package is not installed."""
        await self._call(self._create)

    def _create(self) -> None:
        try:
            import numpy
            from nixl._api import nixl_agent, nixl_agent_config
        except ImportError as error:
            raise EngineMissing(f"the transfer nixl cannot be used ({error}); run `{INSTALL}`") from None
        logging.getLogger("nixl").setLevel(logging.WARNING)
        # Its own progress thread would keep a core busy for ever.
        config = nixl_agent_config(enable_prog_thread=False)
        self._agent = nixl_agent(f"dynamo-{secrets.token_hex(8)}", config)
        self._numpy = numpy

    async def publish(self, view: memoryview) -> Published:
        return await self._call(self._publish, view)

    def _publish(self, view: memoryview) -> Published:
        address = self._address(view)
        registered = self._agent.register_memory([(address, view.nbytes, 0, "")], MEMORY)
        descriptors = self._agent.get_xfer_descs([(address, view.nbytes, 0)], MEMORY)
        metadata = self._agent.get_partial_agent_metadata(registered, True)
        return Published(registered, metadata, self._agent.get_serialized_descs(descriptors))

    async def withdraw(self, published: Published) -> None:
        await self._call(self._agent.deregister_memory, published.registered)

    async def advance(self) -> None:
        """Let transfers from here get on: nothing of NIXL runs by itself."""
        await self._call(self._agent.get_new_notifs)

    async def read(
        self, metadata: bytes, descriptors: bytes, into: memoryview, limit_s: float, gone: asyncio.Future[Any]
    ) -> None:
        """Fill `into` with a peer's published memory; TransferFailed after `limit_s`, or when the peer is `gone`.

        Not to be cancelled: NIXL writes to `into` until it has ended.
        """
        deadline = asyncio.get_running_loop().time() + limit_s
        reading = await self._call(self._begin, metadata, descriptors, into)
        try:
            pauses = Pauses()
            while await self._call(self._state, reading) == "PROC":
                if gone.done():
                    raise TransferFailed("the worker that offers is gone")
                if asyncio.get_running_loop().time() > deadline:
                    raise TransferFailed(f"NIXL was not done in {limit_s:g} s")
                await pauses.sleep()
        finally:
            await self._call(self._finish, reading)

    def _begin(self, metadata: bytes, descriptors: bytes, into: memoryview) -> Reading:
        agent, address = self._agent, self._address(into)
        peer = agent.add_remote_agent(metadata)
        peer = peer.decode() if isinstance(peer, bytes) else peer
        registered = None
        try:
            registered = agent.register_memory([(address, into.nbytes, 0, "")], MEMORY)
            local = agent.get_xfer_descs([(address, into.nbytes, 0)], MEMORY)
            handle = agent.initialize_xfer("READ", local, agent.deserialize_descs(descriptors), peer, b"")
            reading = Reading(handle, registered, peer)
        except BaseException:
            if registered is not None:
                agent.deregister_memory(registered)
            agent.remove_remote_agent(peer)
            raise
        try:
            agent.transfer(handle)
        except BaseException:
            self._finish(reading)
            raise
        return reading

    def _state(self, reading: Reading) -> str:
        state: str = self._agent.check_xfer_state(reading.handle)
        if state not in ("PROC", "DONE"):
            raise TransferFailed(f"NIXL: the transfer ended in state {state}")
        return state

    def _finish(self, reading: Reading) -> None:
        with ExitStack() as steps:
            steps.callback(self._agent.remove_remote_agent, reading.peer)
            steps.callback(self._agent.deregister_memory, reading.registered)
            steps.callback(self._agent.release_xfer_handle, reading.handle)

    def _address(self, view: memoryview) -> int:
        return int(self._numpy.frombuffer(view, self._numpy.uint8).ctypes.data)

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, _named, function, arguments)
        except RuntimeError as error:  # the thread takes no more
            raise TransferFailed(f"NIXL: {error}") from None

    async def close(self) -> None:
        """Idempotent."""

        def forget() -> None:
            self._agent = None

        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, forget)
        except RuntimeError:
            return
        self._thread.shutdown(wait=False)


class Pauses:
    """Sleeps that get longer, so that waiting for another process costs little."""

    def __init__(self) -> None:
        self.next_s = SHORTEST_PAUSE_S

    async def sleep(self) -> None:
        await asyncio.sleep(self.next_s)
        self.next_s = min(self.next_s * 1.5, LONGEST_PAUSE_S)


def _named(function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    """NIXL's errors are of many classes without a common one."""
    try:
        return function(*arguments)
    except Exception as error:
        if type(error).__name__.startswith("nixl"):
            raise TransferFailed(f"NIXL: {error or type(error).__name__}") from None
        raise
