"""An OpenAI-compatible server that says what the test wrote down, in the pieces it wrote down."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.openai_server import OpenAIHandler, OpenAIServer

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
    server = _Server(chatty, port)
    with server.running():
        yield chatty


class _Server(OpenAIServer):
    def __init__(self, script: Chatty, port: int) -> None:
        super().__init__(_Handler, port)
        self.script = script
        script.url, script.hung_up = self.url, self.hung_up


class _Handler(OpenAIHandler):
    server: _Server

    def do_GET(self) -> None:
        self.server.script.keys.append(self.headers["authorization"])
        self.send_json(
            200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.server.script.models]}
        )

    def do_POST(self) -> None:
        body = self.read_json()
        script = self.server.script
        script.bodies.append(body)
        script.keys.append(self.headers["authorization"])
        refused = next((name for name in (script.strict.fields if script.strict else ()) if name in body), None)
        if script.strict and refused:
            return self.send_json(script.strict.status, {"error": {"message": f"unknown field {refused}"}})
        answer = script.plan.pop(0) if script.plan else script.said
        if isinstance(answer, Refused):
            return self.send_json(answer.status, answer.body)
        self._stream(answer)

    def _stream(self, said: Said) -> None:
        self.begin_stream()
        for delta in [*({"reasoning_content": t} for t in said.thought), *({"content": p} for p in said.pieces)]:
            self._event(said, [{"index": 0, "delta": delta, "finish_reason": None}])
            time.sleep(said.pause_s)
        if said.cut:
            self.close_connection = True
            return
        self._event(said, [{"index": 0, "delta": {}, "finish_reason": said.finish_reason}])
        if said.usage is not None:
            self._event(said, [], usage=said.usage)
        self.send_event("[DONE]")
        self.end_stream()

    def _event(self, said: Said, choices: list[dict[str, Any]], **more: Any) -> None:
        extra = {} if said.nvext is None else {"nvext": said.nvext}
        self.send_event({"choices": choices, **extra, **more})
