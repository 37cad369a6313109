"""OpenAI's two forms of logprobs, put into the answers that have none by default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from dynamo_cli.frontend.alignment import Entry
from dynamo_cli.frontend.formats import Format, Usage

_NULL = b'"logprobs":null,"finish_reason":'  # nowhere inside a JSON string: its quotes would be escaped
BytesOf = Callable[[int], bytes]
"""What a token id stands for."""
Tell = Callable[[list[Entry], BytesOf], dict[str, Any]]


class WithLogprobs(Format):
    """Another format, and what was noted for a choice with its next event, or in the whole answer."""

    def __init__(self, plain: Format, tell: Tell, bytes_of: BytesOf) -> None:
        self.id = plain.id
        self.begins_together = plain.begins_together
        self._plain = plain
        self._tell = tell
        self._bytes_of = bytes_of
        self._noted: dict[int, list[Entry]] = {}

    def note(self, index: int, entries: list[Entry]) -> None:
        self._noted.setdefault(index, []).extend(entries)

    def first(self, index: int, text: str) -> bytes:
        return self._put(index, self._plain.first(index, text))

    def begin(self, index: int) -> bytes:
        return self._plain.begin(index)

    def more(self, index: int, text: str) -> bytes:
        return self._put(index, self._plain.more(index, text))

    def finish(self, index: int, reason: str) -> bytes:
        return self._put(index, self._plain.finish(index, reason))

    def choice(self, index: int, text: str, reason: str) -> dict[str, Any]:
        told = self._tell(self._noted.pop(index, []), self._bytes_of)
        return {**self._plain.choice(index, text, reason), "logprobs": told}

    def usage(self, usage: Usage) -> bytes:
        return self._plain.usage(usage)

    def whole(self, choices: list[dict[str, Any]], usage: Usage) -> bytes:
        return self._plain.whole(choices, usage)

    def _put(self, index: int, event: bytes) -> bytes:
        entries = self._noted.pop(index, None)
        if not entries:
            return event
        told = msgspec.json.encode(self._tell(entries, self._bytes_of))
        return event.replace(_NULL, b'"logprobs":%b,"finish_reason":' % told, 1)


def chat_logprobs(entries: list[Entry], bytes_of: BytesOf) -> dict[str, Any]:
    def token(token_id: int, logprob: float | None) -> dict[str, Any]:
        data = bytes_of(token_id)
        return {"token": _written(data), "logprob": logprob, "bytes": list(data)}

    content = [
        {**token(entry.token_id, entry.logprob), "top_logprobs": [token(*one) for one in entry.top]}
        for entry in entries
    ]
    return {"content": content, "refusal": None}


def completion_logprobs(entries: list[Entry], bytes_of: BytesOf) -> dict[str, Any]:
    """`top_logprobs` hold the likeliest and the chosen one; all is null for a token of the prompt."""

    def text(token_id: int) -> str:
        data = bytes_of(token_id)
        written = _written(data)
        return written if written.encode() == data else f"bytes:{written}"

    def top(entry: Entry) -> dict[str, float] | None:
        if entry.logprob is None:
            return None
        return {text(token_id): logprob for token_id, logprob in [*entry.top, (entry.token_id, entry.logprob)]}

    return {
        "tokens": [text(entry.token_id) for entry in entries],
        "token_logprobs": [entry.logprob for entry in entries],
        "top_logprobs": [top(entry) for entry in entries],
        "text_offset": [entry.offset for entry in entries],
    }


def _written(data: bytes) -> str:
    r"""The text of a token; bytes that are only part of a character as \xf0, as OpenAI writes them."""
    return data.decode(errors="backslashreplace")
