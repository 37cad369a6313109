"""An OpenAI-compatible server for the tests of clients. The model's name says how it behaves."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODEL = "good"


class Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, models: list[str], owner: str, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.models = models
        self.owner = owner
        self.bodies: list[dict] = []
        self.heads: list[dict[str, str]] = []
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()
        self.engine = threading.Lock()
        self.hung_up = threading.Event()
        self.connections: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @contextmanager
    def counted(self) -> Iterator[None]:
        with self.lock:
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            yield
        finally:
            with self.lock:
                self.in_flight -= 1

    def process_request(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        self.connections.append(request)
        super().process_request(request, client_address)

    def handle_error(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        self.hung_up.set()


@contextmanager
def serving(*models: str, owner: str = "somebody", port: int = 0) -> Iterator[Server]:
    server = Server(list(models or (MODEL,)), owner, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        for connection in server.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path != "/v1/models":
            return self._json(404, {})
        models = [{"id": name, "object": "model", "owned_by": self.server.owner} for name in self.server.models]
        self._json(200, {"object": "list", "data": models})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.bodies.append(body)
        self.server.heads.append({name.lower(): value for name, value in self.headers.items()})
        with self.server.counted():
            self._answer(body["model"], body)

    def _answer(self, model: str, body: dict) -> None:
        if model.startswith("http-"):
            self._json(int(model[5:]), {"error": {"message": "not\nnow", "type": "x"}})
        elif model == "drop":
            self.close_connection = True
        elif model == "silent":
            self.server.hung_up.wait(5)
            self.close_connection = True
        elif model == "noise":
            self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
            self.close_connection = True
        elif model == "single":
            with self.server.engine:
                time.sleep(0.02)
            self._stream(model, body)
        elif body["stream"]:
            self._stream(model, body)
        else:
            self._json(200, whole(body["max_tokens"]))

    def _json(self, status: int, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, model: str, body: dict) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(body.get("max_tokens") or 5):
            self._event(chunk(f" w{number}"))
            if model == "slow":
                time.sleep(0.02)
            if model == "cut" and number == 1:
                self.close_connection = True
                return
        if model == "error-event":
            self._event(json.dumps({"error": {"message": "the engine died", "code": 500}}))
        if model != "no-finish":
            self._event(chunk("", finish="length"))
        if model != "no-usage":
            tokens = body.get("max_tokens") or 5
            self._event(json.dumps({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": tokens}}))
        if model != "no-done":
            self._event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, data: str) -> None:
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))


def chunk(text: str, finish: str | None = None) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})


def whole(tokens: int) -> dict:
    message = {"role": "assistant", "content": "w " * tokens}
    return {
        "choices": [{"index": 0, "message": message, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": tokens, "prompt_tokens_details": {"cached_tokens": 4}},
    }
