"""OpenAI's two forms of logprobs, put into the answers that have none by default."""

from __future__ import annotations

from typing import Any

import msgspec

from dynamo_cli.frontend.alignment import Entry
from dynamo_cli.frontend.formats import ChatFormat, CompletionFormat, Format
from dynamo_cli.text.tokenizer import Tokenizer

_NULL = b'"logprobs":null,"finish_reason":'  # nowhere inside a JSON string: its quotes would be escaped


class _WithLogprobs(Format):
    """Mixed into a format: what was noted for a choice goes out with its next event, or with the whole answer."""

    def __init__(self, model: str, tokenizer: Tokenizer) -> None:
        super().__init__(model)  # type: ignore[call-arg]
        self._token_bytes = tokenizer.token_bytes
        self._noted: dict[int, list[Entry]] = {}

    def note(self, index: int, entries: list[Entry]) -> None:
        self._noted.setdefault(index, []).extend(entries)

    def first(self, index: int, text: str) -> bytes:
        return self._put(index, super().first(index, text))  # type: ignore[safe-super]

    def more(self, index: int, text: str) -> bytes:
        return self._put(index, super().more(index, text))  # type: ignore[safe-super]

    def finish(self, index: int, reason: str) -> bytes:
        return self._put(index, super().finish(index, reason))  # type: ignore[safe-super]

    def choice(self, index: int, text: str, reason: str) -> dict[str, Any]:
        choice = super().choice(index, text, reason)  # type: ignore[safe-super]
        return {**choice, "logprobs": self._told(self._noted.pop(index, []))}

    def _put(self, index: int, event: bytes) -> bytes:
        entries = self._noted.pop(index, None)
        if not entries:
            return event
        told = msgspec.json.encode(self._told(entries))
        return event.replace(_NULL, b'"logprobs":%b,"finish_reason":' % told, 1)

    def _told(self, entries: list[Entry]) -> dict[str, Any]:
        raise NotImplementedError


class ChatLogprobs(_WithLogprobs, ChatFormat):
    def _told(self, entries: list[Entry]) -> dict[str, Any]:
        content = [
            {
                **self._token(entry.token_id, entry.logprob),
                "top_logprobs": [self._token(token_id, logprob) for token_id, logprob in entry.top],
            }
            for entry in entries
        ]
        return {"content": content, "refusal": None}

    def _token(self, token_id: int, logprob: float | None) -> dict[str, Any]:
        data = self._token_bytes(token_id)
        return {"token": _written(data), "logprob": logprob, "bytes": list(data)}


class CompletionLogprobs(_WithLogprobs, CompletionFormat):
    def _told(self, entries: list[Entry]) -> dict[str, Any]:
        return {
            "tokens": [self._text(entry.token_id) for entry in entries],
            "token_logprobs": [entry.logprob for entry in entries],
            "top_logprobs": [self._top(entry) for entry in entries],
            "text_offset": [entry.offset for entry in entries],
        }

    def _top(self, entry: Entry) -> dict[str, float] | None:
        """The likeliest and the chosen one."""
        if entry.logprob is None:
            return None
        return {self._text(token): logprob for token, logprob in [*entry.top, (entry.token_id, entry.logprob)]}

    def _text(self, token_id: int) -> str:
        data = self._token_bytes(token_id)
        text = _written(data)
        return text if text.encode() == data else f"bytes:{text}"


def _written(data: bytes) -> str:
    r"""The text of a token; bytes that are only part of a character as \xf0, as OpenAI writes them."""
    return data.decode(errors="backslashreplace")
