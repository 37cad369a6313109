"""How many other frontends accept from the same listening socket, known through discovery."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time

from dynamo_cli.runtime.runtime import DistributedRuntime

FRONTENDS_PREFIX = "v1/frontends/"
SETTLED_S = 2.0


class Rivals:
    """`count` is theirs, without this process. The socket's inode names it on this host."""

    def __init__(self, runtime: DistributedRuntime, listener: socket.socket) -> None:
        self._prefix = f"{FRONTENDS_PREFIX}{os.fstat(listener.fileno()).st_ino}/"
        self._key = f"{self._prefix}{runtime.instance_id:x}"
        self._others: set[str] = set()
        self._settled = time.monotonic() + SETTLED_S
        self._discovery = runtime.discovery
        self._task: asyncio.Task[None] | None = None

    def count(self) -> int:
        """At first one is assumed: those that start together learn of each other a moment later."""
        if self._others or time.monotonic() > self._settled:
            return len(self._others)
        return 1

    async def start(self) -> None:
        """Know the others that are there now, then be known to them."""
        watching = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._follow(watching))
        await asyncio.wait((watching, self._task), return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            await self._task
        await self._discovery.put(self._key, str(os.getpid()).encode())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            await self._discovery.delete(self._key)

    async def _follow(self, watching: asyncio.Future[None]) -> None:
        async with self._discovery.watch_prefix(self._prefix) as watch:
            self._others.update(watch.initial)
            watching.set_result(None)
            while True:
                for event in await watch.next():
                    if event.kind == "delete":
                        self._others.discard(event.key)
                    elif event.key != self._key:
                        self._others.add(event.key)
