"""An OpenAI-compatible server for the tests of clients. The model's name says how it behaves."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.openai_server import OpenAIHandler, OpenAIServer

MODEL = "good"


class Server(OpenAIServer):
    def __init__(self, models: list[str], owner: str, port: int) -> None:
        super().__init__(Handler, port)
        self.models = models
        self.owner = owner
        self.bodies: list[dict] = []
        self.heads: list[dict[str, str]] = []
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()
        self.engine = threading.Lock()

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


@contextmanager
def serving(*models: str, owner: str = "somebody", port: int = 0) -> Iterator[Server]:
    server = Server(list(models or (MODEL,)), owner, port)
    with server.running():
        yield server


class Handler(OpenAIHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path != "/v1/models":
            return self.send_json(404, {})
        models = [{"id": name, "object": "model", "owned_by": self.server.owner} for name in self.server.models]
        self.send_json(200, {"object": "list", "data": models})

    def do_POST(self) -> None:
        body = self.read_json()
        self.server.bodies.append(body)
        self.server.heads.append({name.lower(): value for name, value in self.headers.items()})
        with self.server.counted():
            self._answer(body["model"], body)

    def _answer(self, model: str, body: dict) -> None:
        if model.startswith("http-"):
            self.send_json(int(model[5:]), {"error": {"message": "not\nnow", "type": "x"}})
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
            self.send_json(200, whole(body["max_tokens"]))

    def _stream(self, model: str, body: dict) -> None:
        self.begin_stream()
        for number in range(body.get("max_tokens") or 5):
            self.send_event(chunk(f" w{number}"))
            if model == "slow":
                time.sleep(0.02)
            if model == "cut" and number == 1:
                self.close_connection = True
                return
        if model == "error-event":
            self.send_event({"error": {"message": "the engine died", "code": 500}})
        if model != "no-finish":
            self.send_event(chunk("", finish="length"))
        if model != "no-usage":
            tokens = body.get("max_tokens") or 5
            self.send_event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": tokens}})
        if model != "no-done":
            self.send_event("[DONE]")
        self.end_stream()


def chunk(text: str, finish: str | None = None) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})


def whole(tokens: int) -> dict:
    message = {"role": "assistant", "content": "w " * tokens}
    return {
        "choices": [{"index": 0, "message": message, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": tokens, "prompt_tokens_details": {"cached_tokens": 4}},
    }
