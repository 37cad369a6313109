"""A client's connections to one worker: one for requests, one for the heartbeat."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from dynamo_cli.errors import (
    Disconnected,
    DynamoError,
    InvalidRequest,
    PlaneError,
    ResponseTimeout,
    StreamIncomplete,
    from_code,
)
from dynamo_cli.runtime.links.client import ClientLink, connect
from dynamo_cli.runtime.links.frames import Error, Purpose
from dynamo_cli.runtime.requests.frames import AnyFrame, Deltas, Drain, End, Ping, Pong, frame_decoder
from dynamo_cli.runtime.requests.outbox import Outbox
from dynamo_cli.runtime.requests.receiving import ReceivedStream, end_with
from dynamo_cli.runtime.within import within

if TYPE_CHECKING:
    from dynamo_cli.runtime.requests.tcp_client import TcpRequestClient

_log = logging.getLogger(__name__)
PING_S = 1.0
MISSES = 3


class HeartbeatLink(ClientLink):
    """Answered by an OS thread of the worker, so silence means a dead or stopped process, not a busy one."""

    plane = "request plane"
    purpose: ClassVar[Purpose] = "heartbeat"
    decoder = frame_decoder

    def __init__(self, address: str, token: bytes, on_load: Callable[[str, bytes], None] = lambda *_: None) -> None:
        super().__init__(address, token)
        self._on_load = on_load
        self._sent = 0
        self._answered = 0
        self._pong = asyncio.Event()

    def on_answer(self, frame: AnyFrame) -> None:
        if isinstance(frame, Pong):
            self._answered = frame.number
            self._pong.set()
            if frame.load:
                self._on_load(self.address, frame.load)

    def ping(self) -> None:
        self._sent += 1
        self.send(Ping(self._sent))

    @property
    def answered(self) -> bool:
        return self._answered == self._sent

    async def answers_ping(self) -> bool:
        """Whether a ping is answered in time."""
        self._pong.clear()
        self.ping()
        with contextlib.suppress(asyncio.TimeoutError):
            await within(PING_S * MISSES, self._pong.wait())
        return self.answered

    async def until_silent(self) -> None:
        """Ping each second until the connection is closed or three pings in a row had no answer."""
        missed = 0
        while not self.closed and missed < MISSES:
            self.ping()
            await asyncio.sleep(PING_S)
            missed = 0 if self.answered else missed + 1


class RequestLink(ClientLink):
    """Carries all requests of this client to one address."""

    plane = "request plane"
    purpose: ClassVar[Purpose] = "requests"
    decoder = frame_decoder

    def __init__(self, client: TcpRequestClient, address: str, token: bytes) -> None:
        super().__init__(address, token)
        self.streams: dict[int, ReceivedStream] = {}
        self.out = Outbox(self._loop, self.write)
        self.out.held = True
        self._client = client
        self._last_id = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def queued(self) -> int:
        """Bytes that wait to be sent."""
        return self.out.size + (self.transport.get_write_buffer_size() if self.transport else 0)

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def open(self) -> None:
        self._task = self._loop.create_task(self._live())

    async def shut_down(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self.fail(Disconnected("the request plane is closed"))
        await self.gone()

    def on_welcome(self) -> None:
        # The outbox was held: requests wait in it until the server has proved itself.
        self.out.held = False
        self.out.flush()

    def on_answer(self, frame: AnyFrame) -> None:
        if type(frame) is Deltas:
            self._on_deltas(frame)
        elif type(frame) is End:
            if stream := self.streams.pop(frame.stream, None):
                stream.end()
        elif type(frame) is Error:
            if stream := self.streams.pop(frame.stream, None):
                error = from_code(frame.code, frame.message)
                if isinstance(error, InvalidRequest):
                    error.param = frame.param
                end_with(stream.sink, error)
        elif type(frame) is Drain:
            self._client.tell(self.address, frame.endpoint, "draining")

    def on_closed(self, reason: str) -> None:
        super().on_closed(reason)
        if self.welcomed.exception() is None:
            why = reason or "the worker closed the connection"
            self.fail(Disconnected(f"lost {self.address}: {why}"))

    def fail(self, error: DynamoError) -> None:
        """End every stream with the error and forget this link. Idempotent.

        Who chooses instances hears of the loss first, so that a stream's retry goes elsewhere.
        """
        self._client.forget(self)
        streams, self.streams = self.streams, {}
        for stream in streams.values():
            begun = stream.begun and isinstance(error, Disconnected)
            end_with(stream.sink, StreamIncomplete(str(error)) if begun else error)
        self.close(str(error))
        if self._task is not None:
            self._task.cancel()

    async def _live(self) -> None:
        try:
            await connect(self)
            await self._beat()
        except DynamoError as error:
            self.fail(error)

    async def _beat(self) -> None:
        """Never returns: raises ResponseTimeout when the worker falls silent, Disconnected when it takes no pings."""
        while True:
            try:
                link = await connect(HeartbeatLink(self.address, self._token, self._client.tell_load))
            except PlaneError as error:
                raise Disconnected(f"lost {self.address}: {error}") from None
            try:
                await link.until_silent()
                if not link.closed:
                    raise ResponseTimeout(f"{self.address} has not answered {MISSES} pings")
            finally:
                link.close("")
                await link.gone()

    def _on_deltas(self, frame: Deltas) -> None:
        touched: list[ReceivedStream] = []
        streams = self.streams
        for number, payload in frame.items:
            stream = streams.get(number)
            if stream is not None and stream.take(payload):
                touched.append(stream)
        for stream in touched:
            stream.deliver()
