"""An OpenAI-compatible server that says what the test wrote down, in the pieces it wrote down."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "org/chatty"


@dataclass(frozen=True)
class Said:
    """A streamed answer. `thought` comes first, as reasoning_content. `cut`: the connection breaks at the end."""

    pieces: tuple[str, ...]
    thought: tuple[str, ...] = ()
    usage: dict[str, Any] | None = None
    nvext: Any = None
    finish_reason: str = "stop"
    pause_s: float = 0.0
    cut: bool = False


@dataclass(frozen=True)
class Refused:
    status: int
    body: Any


@dataclass(frozen=True)
class Strict:
    """Refuses every request that has one of these fields."""

    fields: tuple[str, ...]
    status: int = 400


@dataclass
class Chatty:
    """What the server does next; `said` is what it says when nothing is planned."""

    plan: list[Said | Refused] = field(default_factory=list)
    said: Said = Said(("hello",))
    strict: Strict | None = None
    models: list[str] = field(default_factory=lambda: [MODEL])
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    @property
    def sent(self) -> list[list[tuple[str, str]]]:
        return [[(message["role"], message["content"]) for message in body["messages"]] for body in self.bodies]


@contextmanager
def chatting(*plan: Said | Refused, port: int = 0, **more: Any) -> Iterator[Chatty]:
    chatty = Chatty(list(plan), **more)

    class Handler(_Handler):
        script = chatty

    server = _Server(("127.0.0.1", port), Handler)
    chatty.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield chatty
    finally:
        server.shutdown()
        for connection in server.connections:
            with suppress(OSError):
                connection.shutdown(2)
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.connections: list[Any] = []

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.append(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.RequestHandlerClass.script.hung_up.set()  # type: ignore[attr-defined]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    script: Chatty

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.script.keys.append(self.headers["authorization"])
        self._json(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.script.models]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        script = self.script
        script.bodies.append(body)
        script.keys.append(self.headers["authorization"])
        refused = next((name for name in (script.strict.fields if script.strict else ()) if name in body), None)
        if script.strict and refused:
            return self._json(script.strict.status, {"error": {"message": f"unknown field {refused}"}})
        answer = script.plan.pop(0) if script.plan else script.said
        if isinstance(answer, Refused):
            return self._json(answer.status, answer.body)
        self._stream(answer)

    def _json(self, status: int, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, said: Said) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for delta in [*({"reasoning_content": t} for t in said.thought), *({"content": p} for p in said.pieces)]:
            self._event(said, [{"index": 0, "delta": delta, "finish_reason": None}])
            time.sleep(said.pause_s)
        if said.cut:
            self.close_connection = True
            return
        self._event(said, [{"index": 0, "delta": {}, "finish_reason": said.finish_reason}])
        if said.usage is not None:
            self._event(said, [], usage=said.usage)
        self._write(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, said: Said, choices: list[dict[str, Any]], **more: Any) -> None:
        extra = {} if said.nvext is None else {"nvext": said.nvext}
        self._write(b"data: %b\n\n" % json.dumps({"choices": choices, **extra, **more}).encode())

    def _write(self, event: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
