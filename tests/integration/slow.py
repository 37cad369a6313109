"""A client that reads when it likes: a raw socket with a tiny receive buffer."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit


class SlowReader:
    """Has asked, and got the head of the answer."""

    def __init__(self, url: str, body: dict[str, Any]) -> None:
        address = urlsplit(url)
        assert address.hostname and address.port
        self._http = HTTPConnection(address.hostname, address.port)
        self._http.sock = socket.socket()
        self._http.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._http.sock.settimeout(60)
        self._http.sock.connect((address.hostname, address.port))
        self._http.request("POST", "/v1/chat/completions", json.dumps({**body, "stream": True}))
        self._response = self._http.getresponse()
        assert self._response.status == 200

    def rest(self) -> bytes:
        """All of the stream, to its end."""
        received = self._response.read()
        self._http.close()
        return received


def text_of(events: bytes) -> tuple[str, int]:
    """A complete stream's text and its number of tokens."""
    *chunks, done = [line[6:] for line in events.splitlines() if line]
    assert done == b"[DONE]"
    decoded = [json.loads(chunk) for chunk in chunks]
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in decoded if chunk["choices"])
    return text, decoded[-1]["usage"]["completion_tokens"]
