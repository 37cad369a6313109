"""One HTTP/1.1 response read incrementally: bytes go in as they arrive, body bytes come out. No I/O."""

from __future__ import annotations

import httptools


class BrokenResponse(ValueError):
    """The peer does not speak HTTP/1.1."""


class Response:
    """`status` is 0 until the head is complete; `done` once the body is."""

    def __init__(self) -> None:
        self.status = 0
        self.done = False
        self.keep_alive = True
        self.is_event_stream = False
        self._framed = False
        self._body: list[bytes] = []
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> bytes:
        """The body bytes in `data`. Raises BrokenResponse."""
        if self._parser is None:
            raise BrokenResponse("there is more than the response")
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise BrokenResponse(str(error) or type(error).__name__) from None
        if self.done:
            self._parser = None  # it refers to this response: nothing should wait for the collector
        body, self._body = self._body, []
        return body[0] if len(body) == 1 else b"".join(body)

    def close(self) -> bool:
        """The connection ended; true when that is how this body ends."""
        self._parser = None
        self.done = self.done or (self.status != 0 and not self._framed)
        return self.done

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in (b"content-length", b"transfer-encoding"):
            self._framed = True
        elif name == b"content-type":
            self.is_event_stream = value.startswith(b"text/event-stream")

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self.status < 200:
            self.status = 0
            return
        assert self._parser is not None
        self.done = True
        self.keep_alive = self._parser.should_keep_alive()
