"""One streamed answer of a chat: what is thought and said, piece by piece, then its figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

from dynamo_cli.bench.answers import EventReader, Usage, error_text
from dynamo_cli.chat.figures import Figures
from dynamo_cli.chat.reply import Delta, Reply, decode
from dynamo_cli.chat.server import Server
from dynamo_cli.chat.settings import Settings
from dynamo_cli.chat.thinking import Piece, ThinkSplitter
from dynamo_cli.errors import EngineFailed, StreamIncomplete

if TYPE_CHECKING:
    import httpx


class Answer:
    """`stream()` once for the pieces; closing it cancels the request. `text` and `reasoning` are what came so far."""

    def __init__(
        self,
        server: Server,
        settings: Settings,
        messages: list[dict[str, str]],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._server = server
        self._body: dict[str, Any] = {
            "model": settings.model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            "nvext": {"extra_fields": ["worker_id"]},
            **settings.sampling(),
        }
        self._clock = clock
        self._started = self._first = self._last = 0.0
        self._chunks = 0
        self._worker = ""
        self._finish_reason: str | None = None
        self._splitter = ThinkSplitter()
        self.usage: Usage | None = None
        self.text = ""
        self.reasoning = ""

    @property
    def figures(self) -> Figures:
        return Figures(
            ttft_s=self._first - self._started,
            elapsed_s=self._last - self._first,
            chunks=self._chunks,
            usage=self.usage,
            worker=self._worker,
            finish_reason=self._finish_reason,
        )

    def stream(self) -> Generator[Piece, None, None]:
        """Raises DynamoError for an error of the server or a broken stream."""
        self._started = self._clock()
        with self._server.chat(self._body) as response:
            for piece in self._pieces_of(response):
                if piece.kind == "answer":
                    self.text += piece.text
                else:
                    self.reasoning += piece.text
                yield piece

    def _pieces_of(self, response: httpx.Response) -> Iterator[Piece]:
        """Reads on to the end of the body, so that the connection can be used again."""
        events, done = EventReader(), False
        for data in response.iter_bytes():
            for event in events.feed(data):
                done = done or event == b"[DONE]"
                if not done:
                    yield from self._take(decode(event))
        yield from self._splitter.flush()
        if not done:
            raise StreamIncomplete("the answer broke off: the stream ended without [DONE]")

    def _take(self, reply: Reply) -> Iterator[Piece]:
        if reply.error is not None:
            raise EngineFailed(error_text(reply.error))
        self.usage = reply.usage or self.usage
        self._worker = reply.worker or self._worker
        for choice in reply.choices:
            self._finish_reason = choice.finish_reason or self._finish_reason
            if choice.delta is not None:
                yield from self._said(choice.delta)

    def _said(self, delta: Delta) -> Iterator[Piece]:
        reasoning = delta.reasoning_content or delta.reasoning
        if not reasoning and not delta.content:
            return
        self._last = self._clock()
        self._first = self._first or self._last
        self._chunks += 1
        if reasoning:
            yield Piece("reasoning", reasoning)
        if delta.content:
            yield from self._splitter.feed(delta.content)
