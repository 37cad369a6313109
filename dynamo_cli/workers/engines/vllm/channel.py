"""The worker's end of the private socket that vLLM's processes talk to."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import deque
from collections.abc import Callable

import msgspec

from dynamo_cli.workers.engines.vllm.wire import Events, Failure, Unframer

NAME = "worker.sock"
_FAILURES = 64


class Channel:
    """Lives in a directory of mode 0700. `tells_events`: the plugin is in the engine.

    Then `on_events` is called with what each step changed.
    """

    def __init__(self, directory: str, on_events: Callable[[Events], None]) -> None:
        self.path = os.path.join(directory, NAME)
        self.tells_events = False
        self._on_events = on_events
        self._failures: deque[tuple[float, Failure]] = deque(maxlen=_FAILURES)
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()

    async def open(self) -> None:
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Link(self), self.path)
        os.chmod(self.path, 0o600)

    def failures(self, within_s: float = math.inf) -> list[Failure]:
        """What the processes said of errors in the last `within_s` seconds, the cause before its consequences."""
        now = time.monotonic()
        return [failure for at, failure in self._failures if now - at < within_s]

    async def settle(self) -> None:
        """Until what was sent before now has been read."""
        for _ in range(5):
            await asyncio.sleep(0.01)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for link in list(self._links):
            link.close()

    def heard(self, message: Events | Failure) -> None:
        if isinstance(message, Failure):
            self._failures.append((time.monotonic(), message))
        else:
            self.tells_events = True
            self._on_events(message)

    def opened(self, link: _Link) -> None:
        self._links.add(link)

    def closed(self, link: _Link) -> None:
        self._links.discard(link)


class _Link(asyncio.Protocol):
    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._unframer = Unframer()
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._channel.opened(self)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._unframer.feed(data):
                self._channel.heard(message)
        except msgspec.DecodeError:
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._channel.closed(self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
