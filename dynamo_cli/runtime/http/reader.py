"""Bytes in, requests out, in order, until one must be refused. No I/O and no clock."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import NoReturn
from urllib.parse import unquote

import httptools

from dynamo_cli.runtime.http.limits import Limits
from dynamo_cli.runtime.http.refusal import Refusal, refusal
from dynamo_cli.runtime.http.request import Request

Admit = Callable[[Request], "Refusal | None"]
"""Judges a request by its head, before its body is read."""

FRAMING = 8
"""Bytes on the wire for each byte of a body: the smallest chunks need 6."""
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+;=:%\[\]-]*")
_UNKNOWN_METHOD = re.compile(rb"\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+ [^ \r\n]+ HTTP/1\.[01]\r\n")
_HTTP2 = b"PRI * HTTP/2.0"
_NO_UPGRADE = (b"upgrade", b"http2-settings", b"connection")


class _Stopped(Exception):
    """Leaves the parser: nothing that follows can be read."""


class RequestReader:
    """`complete` are the requests not yet taken, `refusal` is the end of them.

    `began_at`: when the first byte of the request came that is `receiving` now. `expects`: its client waits for a 100
    before it sends the body.
    """

    def __init__(self, limits: Limits, trusted: bool = False, admit: Admit | None = None) -> None:
        self.complete: deque[Request] = deque()
        self.refusal: Refusal | None = None
        self.refused: Request | None = None
        self.receiving = False
        self.in_head = False
        self.expects = False
        self.began_at = 0.0
        self.body_size = 0
        self._limits = limits
        self._trusted = trusted
        self._admit = admit
        self._now = 0.0
        self._parser = httptools.HttpRequestParser(self)
        self._request: Request | None = None
        self._body: list[bytes] = []
        self._begin()

    def close(self) -> None:
        """The parser refers to this reader: nothing should wait for the collector."""
        del self._parser
        self.complete.clear()

    def feed(self, data: bytes, now: float) -> None:
        """`now`: the time of any one clock, in seconds."""
        self._now = now
        unfinished, before, size = self.receiving, len(self.complete), len(data)
        while data:
            data = self._parse(data, before)
        if unfinished and self.receiving and self.refusal is None:
            self._count(size)

    def overdue(self, now: float) -> str:
        """What of the request that is being received is late; empty when nothing is."""
        taken, limits = now - self.began_at, self._limits
        if self.in_head:
            return "head" if taken > limits.head_s else ""
        return "body" if taken > limits.head_s + limits.body_s + self.body_size / limits.body_rate else ""

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._begin()
        self.receiving = self.in_head = True
        self.began_at = self._now

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self._limits.uri:
            self._refuse(414, f"the request target is longer than {self._limits.uri} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_head:
            return  # a trailer: who reads headers must not be told something else afterwards
        self._head_size += len(name) + len(value)
        self._header_count += 1
        if self._head_size > self._limits.head or self._header_count > self._limits.headers:
            self._refuse_head()
        name = name.lower()
        if name in self._headers:
            value = self._headers[name] + b", " + value
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        self.in_head = False
        method, version = self._parser.get_method().decode("ascii"), self._parser.get_http_version()
        headers = self._headers
        self._check_head(version)
        request = Request(method, self._path(method), headers, version, self._trusted)
        self._request = request
        if self._admit is not None:
            self.refusal = self._admit(request)
            if self.refusal is not None:
                self._stop()
        if b"content-length" in headers or b"transfer-encoding" in headers:
            self._check_body(version)
        if b"upgrade" in headers and self._parser.should_upgrade():
            self._upgrading = True

    def on_body(self, body: bytes) -> None:
        self.expects = False
        self._body.append(body)
        self.body_size += len(body)
        if self.body_size > self._limits.body:
            self._refuse_body()

    def on_message_complete(self) -> None:
        request = self._request
        if request is None or self._upgrading:
            return
        request.keep_alive = self._parser.should_keep_alive()
        request.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self.complete.append(request)
        self.receiving = self.expects = False
        self._request, self._body = None, []

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._header_count = 0
        self._head_size = 0
        self._body = []
        self._raw = 0
        self._request = None
        self._upgrading = False
        self.body_size = 0
        self.receiving = self.in_head = self.expects = False

    def _check_head(self, version: str) -> None:
        if version == "1.1":
            host = self._headers.get(b"host")
            if host is None:
                self._refuse(400, "the Host header is missing")
            elif not _HOST.fullmatch(host):
                self._refuse(400, "the Host header is not one host")
        elif version != "1.0":
            self._refuse(505, f"HTTP/{version} is not spoken here; use HTTP/1.1")

    def _path(self, method: str) -> str:
        target = self._url
        if target[:1] != b"/":
            target = self._origin_form(method, target)
        path = target.partition(b"?")[0].decode("latin-1")
        return unquote(path) if "%" in path else path

    def _origin_form(self, method: str, target: bytes) -> bytes:
        """Of a target that is a whole URL, or * of OPTIONS."""
        if method == "CONNECT":
            self._refuse(405, "this is no proxy: CONNECT is not allowed")
        if target == b"*" and method == "OPTIONS":
            return target
        scheme, separator, rest = target.partition(b"://")
        if not separator or scheme.lower() not in (b"http", b"https"):
            self._refuse(400, "the request target is neither a path nor a URL")
        path = re.search(rb"[/?].*", rest)
        return b"/" if path is None else path[0] if path[0].startswith(b"/") else b"/" + path[0]

    def _check_body(self, version: str) -> None:
        """Of a request that announces one."""
        headers, length = self._headers, self._headers.get(b"content-length")
        if length is None:
            if version == "1.0":
                self._refuse(400, "HTTP/1.0 has no Transfer-Encoding")
            if headers[b"transfer-encoding"].lower() != b"chunked":
                self._refuse(501, "of the transfer encodings only chunked is known here")
        elif int(length) > self._limits.body:
            self._refuse_body()
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            self._refuse(415, "the content-encoding is not known here; send the body as it is")
        if b"expect" in headers:
            self._check_expectation(version)

    def _check_expectation(self, version: str) -> None:
        if self._headers[b"expect"].lower() != b"100-continue":
            self._refuse(417, "of the expectations only 100-continue is known here")
        self.expects = version == "1.1" and self._headers.get(b"content-length") != b"0"

    def _count(self, size: int) -> None:
        """Bytes of a request that did not end with them; those of its first piece are not counted."""
        self._raw += size
        if self._raw > self._limits.head + FRAMING * self.body_size:
            self.refused = self._request
            self.refusal = (
                self._head_too_large() if self.in_head else refusal(400, "the chunked body is mostly framing")
            )

    def _parse(self, data: bytes, before: int) -> bytes:
        """Returns what is left to parse. `before`: how many requests were complete."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return self._without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if self.refusal is None:
                self.refusal = _malformed(error, data if len(self.complete) == before else b"")
        return b""

    def _without_upgrade(self, rest: bytes) -> bytes:
        """What to read on with: the request again as if it had not asked to change the protocol, its body behind it.

        One that asked for it only in a trailer is complete already.
        """
        parser, self._parser = self._parser, httptools.HttpRequestParser(self)
        if not self._upgrading:
            return rest
        self._upgrading = False
        lines = [b"%b %b HTTP/1.1" % (parser.get_method(), self._url)]
        lines += [b"%b: %b" % header for header in self._headers.items() if header[0] not in _NO_UPGRADE]
        if b"close" in self._headers.get(b"connection", b"").lower():
            lines.append(b"connection: close")
        return b"\r\n".join([*lines, b"", b""]) + rest

    def _refuse_head(self) -> NoReturn:
        self.refusal = self._head_too_large()
        self._stop()

    def _head_too_large(self) -> Refusal:
        limits = self._limits
        return refusal(431, f"the request head has more than {limits.head} bytes or {limits.headers} headers")

    def _refuse_body(self) -> NoReturn:
        self._refuse(413, f"the request body is larger than {self._limits.body} bytes")

    def _refuse(self, status: int, message: str) -> NoReturn:
        self.refusal = refusal(status, message)
        self._stop()

    def _stop(self) -> NoReturn:
        self.refused = self._request
        self.expects = False
        self._body.clear()
        raise _Stopped


def _malformed(error: httptools.HttpParserError, data: bytes) -> Refusal:
    """`data`: how the request begins, if that is known."""
    if isinstance(error, httptools.HttpParserInvalidMethodError) and _UNKNOWN_METHOD.match(data):
        return refusal(501, "the request method is not known here")
    if data.startswith(_HTTP2):
        return refusal(505, "HTTP/2 is not spoken here; use HTTP/1.1")
    return refusal(400, f"malformed HTTP request: {error}")
