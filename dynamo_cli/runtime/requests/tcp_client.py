"""The caller's end of the request plane over TCP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from dynamo_cli.errors import DynamoError, InvalidRequest, Overloaded, PlaneError
from dynamo_cli.runtime.links.client import connect
from dynamo_cli.runtime.links.frames import FrameTooLarge
from dynamo_cli.runtime.requests.base import LoadListener, PeerListener, PeerState, RequestClient, Stream, StreamSink
from dynamo_cli.runtime.requests.client_link import HeartbeatLink, RequestLink
from dynamo_cli.runtime.requests.frames import Request, payload_decoder
from dynamo_cli.runtime.requests.receiving import ReceivedStream, end_with
from dynamo_cli.runtime.trail import Trail

_MAX_QUEUED = 64 << 20


class TcpRequestClient(RequestClient):
    """Connects on the first request to an address, and again after a loss on the next one."""

    def __init__(self, token: bytes) -> None:
        self._token = token
        self._links: dict[str, RequestLink] = {}
        self._decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}
        self._listeners: list[PeerListener] = []
        self._load_listeners: list[LoadListener] = []
        self._closed = False

    def send(
        self,
        address: str,
        endpoint: str,
        request: Any,
        sink: StreamSink,
        *,
        request_id: str,
        response_type: Any = Any,
        trail: Trail | None = None,
    ) -> Stream:
        link = self._link(address)
        stream = ReceivedStream(link, link.next_id(), sink, self._decoder(response_type))
        try:
            if link.queued > _MAX_QUEUED:
                raise Overloaded(f"{address} does not take requests as fast as they come")
            link.out.frame(Request(stream.id, endpoint, request_id, request, trail))
        except (FrameTooLarge, OverflowError, Overloaded) as error:
            asyncio.get_running_loop().call_soon(end_with, sink, _refused(error))
            return stream
        link.streams[stream.id] = stream
        return stream

    def on_peer(self, listener: PeerListener) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def on_load(self, listener: LoadListener) -> Callable[[], None]:
        self._load_listeners.append(listener)
        return lambda: self._load_listeners.remove(listener)

    def connect(self, address: str) -> None:
        if not self._closed:
            self._link(address)

    async def probe(self, address: str) -> bool:
        try:
            link = await connect(HeartbeatLink(address, self._token))
        except DynamoError:
            return False
        try:
            return await link.answers_ping()
        finally:
            link.close("")
            await link.gone()

    async def close(self) -> None:
        self._closed = True
        for link in list(self._links.values()):
            await link.shut_down()
        self._links.clear()

    def tell(self, address: str, endpoint: str, state: PeerState) -> None:
        if self._closed:
            return
        for listener in list(self._listeners):
            listener(address, endpoint, state)

    def tell_load(self, address: str, load: bytes) -> None:
        for listener in list(self._load_listeners):
            listener(address, load)

    def forget(self, link: RequestLink) -> None:
        """The link is lost: the next request to its address opens another. Idempotent."""
        if self._links.get(link.address) is link:
            del self._links[link.address]
            self.tell(link.address, "", "lost")

    def _link(self, address: str) -> RequestLink:
        link = self._links.get(address)
        if link is None:
            if self._closed:
                raise PlaneError("the request plane is closed")
            link = RequestLink(self, address, self._token)
            self._links[address] = link
            link.open()
        return link

    def _decoder(self, kind: Any) -> msgspec.msgpack.Decoder[Any]:
        decoder = self._decoders.get(kind)
        if decoder is None:
            decoder = self._decoders[kind] = payload_decoder(kind)
        return decoder


def _refused(error: FrameTooLarge | OverflowError | Overloaded) -> DynamoError:
    """In the words of whoever asked."""
    if isinstance(error, Overloaded):
        return error
    if isinstance(error, FrameTooLarge):
        return InvalidRequest(f"the request is too large: {error}")
    return InvalidRequest("a number in the request has more than 64 bits")
