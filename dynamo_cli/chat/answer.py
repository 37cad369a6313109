"""One streamed answer of a chat: its text piece by piece, then its figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from dynamo_cli.bench.answers import EventReader, Reply, Usage, error_message, error_text, reply_decoder
from dynamo_cli.bench.target import Address, http_client
from dynamo_cli.errors import DynamoError, EngineFailed, InvalidRequest, ModelMissing, NotReady, StreamIncomplete

if TYPE_CHECKING:
    import httpx

READ_TIMEOUT_S = 600.0
ERRORS: dict[int, type[DynamoError]] = {400: InvalidRequest, 404: ModelMissing, 503: NotReady}


@dataclass(frozen=True)
class Settings:
    """Where a chat goes and how it samples; None leaves it to the server."""

    address: Address
    model: str
    temperature: float | None = None
    max_tokens: int | None = None


class Answer:
    """`stream()` once for the text. The figures are complete after it; closing it cancels the request."""

    def __init__(
        self, settings: Settings, messages: list[dict[str, str]], clock: Callable[[], float] = time.perf_counter
    ):
        self._settings = settings
        self._messages = messages
        self._clock = clock
        self._started = self._first = self._last = 0.0
        self._pieces = 0
        self._usage: Usage | None = None
        self.text = ""

    @property
    def ttft_s(self) -> float:
        return self._first - self._started

    @property
    def tokens(self) -> int:
        """The server's count, else the number of pieces."""
        return self._usage.completion_tokens if self._usage else self._pieces

    def figures(self) -> str:
        """`TTFT 21 ms, 95.3 tokens/s`; the rate is that of the tokens after the first."""
        if not self._pieces:
            return "no text"
        words = f"TTFT {self.ttft_s * 1e3:.0f} ms, {self.tokens} token{'s' if self.tokens != 1 else ''}"
        elapsed = self._last - self._first
        return f"{words}, {(self.tokens - 1) / elapsed:.1f} tokens/s" if elapsed > 0 and self.tokens > 1 else words

    def stream(self) -> Generator[str, None, None]:
        """Raises DynamoError for an error of the server or a broken stream."""
        import httpx

        self._started = self._clock()
        address = self._settings.address
        try:
            with (
                http_client(address, READ_TIMEOUT_S) as client,
                client.stream("POST", "/v1/chat/completions", json=self._body()) as response,
            ):
                _raise_for_status(response)
                yield from self._pieces_of(response)
        except httpx.ConnectError:
            raise NotReady(f"nothing listens on {address.url}") from None
        except httpx.HTTPError as error:
            raise StreamIncomplete(f"the answer broke off: {str(error) or type(error).__name__}") from None

    def _pieces_of(self, response: httpx.Response) -> Iterator[str]:
        events = EventReader()
        for data in response.iter_bytes():
            for event in events.feed(data):
                if event == b"[DONE]":
                    return
                yield from self._take(_decode(event))
        raise StreamIncomplete("the answer broke off: the stream ended without [DONE]")

    def _take(self, reply: Reply) -> Iterator[str]:
        if reply.error is not None:
            raise EngineFailed(error_text(reply.error))
        self._usage = reply.usage or self._usage
        for choice in reply.choices:
            if choice.delta is not None and choice.delta.text:
                self._last = self._clock()
                self._first = self._first or self._last
                self._pieces += 1
                self.text += choice.delta.text
                yield choice.delta.text

    def _body(self) -> dict[str, object]:
        body: dict[str, object] = {
            "model": self._settings.model,
            "messages": self._messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self._settings.temperature is not None:
            body["temperature"] = self._settings.temperature
        if self._settings.max_tokens is not None:
            body["max_tokens"] = self._settings.max_tokens
        return body


def _decode(event: bytes) -> Reply:
    try:
        return reply_decoder.decode(event)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StreamIncomplete(f"the server sent a broken event: {error}") from None


def _raise_for_status(response: httpx.Response) -> None:
    if response.status_code == 200:
        return
    message = error_message(response.read()) or "no reason given"
    kind = ERRORS.get(response.status_code, DynamoError)
    raise kind(f"the server answered {response.status_code}: {message}")
