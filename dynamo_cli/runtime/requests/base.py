"""The request plane: one request, a stream of answers, cancelled from either side."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal, Protocol

from dynamo_cli.errors import DynamoError
from dynamo_cli.runtime.context import Context
from dynamo_cli.runtime.trail import Trail

Handler = Callable[[Any, Context], AsyncIterator[Any]]


PeerState = Literal["lost", "draining"]
PeerListener = Callable[[str, str, PeerState], None]
LoadListener = Callable[[str, bytes], None]


class StreamSink(Protocol):
    """Where a stream's answers go, called from the event loop. Exactly one of on_end and on_error comes, last."""

    def on_frame(self, deltas: list[Any]) -> None:
        """All answers of this stream that came in one frame."""

    def on_end(self) -> None: ...

    def on_error(self, error: DynamoError) -> None: ...


class Stream(ABC):
    """The caller's handle on a request in flight."""

    @abstractmethod
    def cancel(self) -> None:
        """Tell the handler to stop; the sink hears nothing more. Idempotent."""

    @abstractmethod
    def pause(self) -> None:
        """Grant no more answers: the handler is held once the window is used up."""

    @abstractmethod
    def resume(self) -> None: ...


class RequestClient(ABC):
    """Sends requests to addresses; keeps one connection to each."""

    @abstractmethod
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
        """Start a request without waiting. `endpoint` is `namespace.component.endpoint`.

        Answers are decoded as `response_type`; the handler's context continues `trail`. The sink gets CannotConnect,
        Disconnected, StreamIncomplete, Unauthorized, Draining or the handler's own error.
        """

    @abstractmethod
    def on_peer(self, listener: PeerListener) -> Callable[[], None]:
        """Call `listener(address, endpoint, state)` when a worker is lost (silent, gone, unreachable) or drains.

        `endpoint` is "" for all of that address. Returns the function that ends it.
        """

    @abstractmethod
    def on_load(self, listener: LoadListener) -> Callable[[], None]:
        """Call `listener(address, load)` with each answer to a ping that tells the worker's load.

        Workers that are connected are pinged each second. Returns the function that ends it.
        """

    @abstractmethod
    def connect(self, address: str) -> None:
        """Connect now, without waiting, rather than on the first request."""

    @abstractmethod
    async def probe(self, address: str) -> bool:
        """Whether a worker there proves itself and answers a ping now; takes seconds when it does not."""

    @abstractmethod
    async def close(self) -> None: ...


class RequestServer(ABC):
    """Serves endpoints at one address."""

    @property
    @abstractmethod
    def address(self) -> str: ...

    @abstractmethod
    def add(self, endpoint: str, handler: Handler, request_type: Any = Any) -> None: ...

    @abstractmethod
    def report(self, load: Callable[[], bytes]) -> None:
        """Answer pings with what `load` returns. It is called in another thread: all it may do is read."""

    @abstractmethod
    def remove(self, endpoint: str) -> None:
        """Serve it no more; running requests go on. Idempotent."""

    @abstractmethod
    def inflight(self, endpoint: str | None = None) -> int: ...

    @abstractmethod
    async def wait_idle(self, timeout_s: float, endpoint: str = "") -> None:
        """Until no request runs, or the time is up; `endpoint` "" means all."""

    @abstractmethod
    async def drain(self, timeout_s: float, endpoint: str = "") -> None:
        """Refuse new requests with Draining and tell peers so; wait for the running ones, then stop what is left.

        `endpoint` "" means all. What is left ends with StreamIncomplete, so that it can go on elsewhere; a handler
        that does not end then is waited for some seconds.
        """

    @abstractmethod
    async def close(self) -> None: ...
