"""What an OpenAI-compatible server answers, as far as a client needs it: events, chunks, and whether all is there."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec


class Message(msgspec.Struct):
    """Servers call what a model thinks before it answers `reasoning_content` or `reasoning`."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Any] | None = None

    @property
    def thought(self) -> str:
        return self.reasoning_content or self.reasoning or ""

    @property
    def text(self) -> str:
        return self.thought + (self.content or "")


class Choice(msgspec.Struct):
    delta: Message | None = None
    message: Message | None = None
    text: str | None = None
    finish_reason: str | None = None

    @property
    def has_content(self) -> bool:
        part = self.delta or self.message
        return bool(self.text or (part and (part.content or part.thought or part.tool_calls)))

    @property
    def answer(self) -> str:
        """The text of it, without the reasoning."""
        part = self.delta or self.message
        return self.text or (part and part.content) or ""


class CachedTokens(msgspec.Struct):
    cached_tokens: int | None = None


class Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: CachedTokens | None = None

    @property
    def cached_tokens(self) -> int:
        return (self.prompt_tokens_details.cached_tokens or 0) if self.prompt_tokens_details else 0


class WorkerIds(msgspec.Struct):
    """`decode_worker`: the name the supervisor gave it."""

    decode_worker: str | None = None
    decode_worker_id: int | str | None = None


class Extension(msgspec.Struct):
    """What a server of this project adds when it is asked to."""

    worker_id: WorkerIds | None = None

    @property
    def worker(self) -> str:
        if self.worker_id is None:
            return ""
        return self.worker_id.decode_worker or str(self.worker_id.decode_worker_id or "")


class Reply(msgspec.Struct):
    """A whole answer, or one chunk of a streamed one. `error` is set when the server gave up."""

    choices: list[Choice] = []
    usage: Usage | None = None
    error: Any = None
    nvext: Extension | None = None


ReplyDecoder: TypeAlias = "msgspec.json.Decoder[Reply]"
reply_decoder: ReplyDecoder = msgspec.json.Decoder(Reply)


class EventReader:
    """Server-sent events, however the network cuts them; gives the data of every complete event."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, body: bytes) -> list[bytes]:
        lines = (self._rest + body).split(b"\n")
        self._rest = lines.pop()
        events = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].strip())
            elif self._data and line in (b"", b"\r"):
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data = []
        return events


def error_message(body: bytes) -> str:
    """The server's own words in an error body, in one line."""
    try:
        error = reply_decoder.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return one_line(body.decode("utf-8", "replace"))
    return one_line(error_text(error) or body.decode("utf-8", "replace"))


def error_text(error: object) -> str:
    """The message inside an OpenAI error object."""
    if isinstance(error, dict):
        error = error.get("message", error)
    return one_line(str(error or ""))


def one_line(text: str, limit: int = 300) -> str:
    return " ".join(text.split())[:limit]
