"""The other frontends of the deployment: who they are, known through discovery, and a way to ask them all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from dynamo_cli.errors import ResourceMissing
from dynamo_cli.runtime.discovery.base import WatchEvent
from dynamo_cli.runtime.http.client import request
from dynamo_cli.runtime.paths import COUNTS_SUFFIX
from dynamo_cli.runtime.runtime import DistributedRuntime
from dynamo_cli.runtime.within import within

FRONTENDS_PREFIX = "v1/frontends/"
SETTLED_S = 2.0
PATIENCE_S = 1.0
"""A frontend that is well answers its admin socket in milliseconds."""
log = logging.getLogger(__name__)


class Peer(msgspec.Struct, frozen=True):
    """What a frontend tells of itself. `listener`: the inode of the socket it accepts from, 0 when it is alone there.

    `name` is the supervisor's, or pid-N when started by hand. `socket`: the path of its admin socket.
    """

    name: str
    socket: str
    listener: int = 0

    @property
    def counts_file(self) -> Path:
        return Path(self.socket).with_suffix(COUNTS_SUFFIX)


class PeerAnswer(NamedTuple):
    """`status` is 0 when it did not answer in time; `body` then says why."""

    peer: Peer
    status: int
    body: bytes


class Peers:
    """Follows the other frontends once it is started; they learn of this one when it is announced.

    `on_other` is called when another one has come.
    """

    def __init__(self, runtime: DistributedRuntime, on_other: Callable[[], None] = lambda: None) -> None:
        config = runtime.config
        self.own = Peer(config.service or f"pid-{os.getpid()}", str(config.paths.admin_socket(config.service)))
        self._key = f"{FRONTENDS_PREFIX}{runtime.instance_id:x}"
        self._others: dict[str, Peer] = {}
        self._on_other = on_other
        self._settled = time.monotonic() + SETTLED_S
        self._discovery = runtime.discovery
        self._task: asyncio.Task[None] | None = None

    @property
    def others(self) -> list[Peer]:
        """Without this process."""
        return list(self._others.values())

    def sockets(self) -> list[str]:
        """The others' admin sockets."""
        return [peer.socket for peer in self._others.values()]

    def rivals(self) -> int:
        """How many others accept from the same socket.

        At first one is assumed: those that start together learn of each other a moment later.
        """
        if not self.own.listener:
            return 0
        sharing = sum(peer.listener == self.own.listener for peer in self._others.values())
        return sharing or int(time.monotonic() < self._settled)

    async def ask(
        self, method: str, path: str, body: bytes = b"", *, timeout_s: float = PATIENCE_S
    ) -> list[PeerAnswer]:
        """The same request to the admin socket of every other frontend, at once; one answer for each of them.

        What is asked of an admin socket concerns that frontend alone, so nothing goes in circles.
        """
        asked = [_ask(peer, method, path, body, timeout_s) for peer in self._others.values()]
        return list(await asyncio.gather(*asked))

    async def start(self, listener: int = 0) -> None:
        """Know the others that are there now, and follow who comes and goes. `listener`: see Peer."""
        self.own = replace(self.own, listener=listener)
        watching = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._follow(watching))
        await asyncio.wait((watching, self._task), return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            await self._task

    async def announce(self) -> None:
        """Be known to the others; the admin socket answers by now. Takes as long as the disk is full."""
        try:
            await self._discovery.put(self._key, msgspec.msgpack.encode(self.own))
        except ResourceMissing as error:
            log.error("other frontends do not know this one: %s", error)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            await self._discovery.delete(self._key)

    async def _follow(self, watching: asyncio.Future[None]) -> None:
        async with self._discovery.watch_prefix(FRONTENDS_PREFIX) as watch:
            for key, value in watch.initial.items():
                self._apply(WatchEvent("put", key, value))
            watching.set_result(None)
            while True:
                for event in await watch.next():
                    self._apply(event)

    def _apply(self, event: WatchEvent) -> None:
        if event.kind == "delete":
            self._others.pop(event.key, None)
        elif event.key != self._key:
            try:
                self._others[event.key] = msgspec.msgpack.decode(event.value, type=Peer)
            except msgspec.MsgspecError as error:
                log.warning("frontend %s is unreadable: %s", event.key, error)
            else:
                self._on_other()


async def _ask(peer: Peer, method: str, path: str, body: bytes, timeout_s: float) -> PeerAnswer:
    async def whole() -> PeerAnswer:
        headers = {"content-type": "application/json"}
        async with await request(peer.socket, method, path, headers=headers, body=body) as answer:
            return PeerAnswer(peer, answer.status, await answer.read())

    try:
        return await within(timeout_s, whole())
    except asyncio.TimeoutError:
        return PeerAnswer(peer, 0, b"no answer within %g s" % timeout_s)
    except OSError as error:
        return PeerAnswer(peer, 0, str(error).encode())
