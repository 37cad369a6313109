"""OpenAI's answers as bytes: prepared once for a request, only what changes is encoded for each event."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import msgspec

from dynamo_cli.errors import DynamoError
from dynamo_cli.runtime.http.envelope import error_object

if TYPE_CHECKING:
    from dynamo_cli.frontend.alignment import Entry

DONE = b"data: [DONE]\n\n"
EVENT_END = b"}\n\n"
"""Of every event that is JSON, and nowhere inside one."""
_encode = msgspec.json.encode


class Usage:
    """Tokens of a whole answer: of all its choices."""

    __slots__ = ("cached", "completion", "prompt")

    def __init__(self) -> None:
        self.prompt = self.completion = self.cached = 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }


class Form(ABC):
    """One answer's form. `id` is also the request's id on its way to the worker."""

    endpoint: str

    def __init__(self, prefix: str, model: str) -> None:
        self.id = f"{prefix}{random.getrandbits(128):032x}"
        self._model = model

    @abstractmethod
    def choice(self, index: int, text: str, reason: str) -> dict[str, Any]:
        """A choice of the answer that is not streamed."""

    @abstractmethod
    def whole(self, choices: list[dict[str, Any]], usage: Usage) -> bytes:
        """The body of an answer that is not streamed."""

    def note(self, index: int, entries: list[Entry]) -> None:  # noqa: B027
        """Logprobs of the text that is shown next, for the forms that tell them."""

    def error(self, error: DynamoError) -> bytes:
        return b"data: %b\n\n" % _encode({"error": error_object(error, error.status)})


class Format(Form):
    """That of generated text, which can be streamed.

    `begins_together`: several choices begin all at once, without text, as OpenAI's do.
    """

    begins_together = False

    def __init__(self, prefix: str, kind: str, model: str) -> None:
        super().__init__(prefix, model)
        self._created = int(time.time())
        self._kind = kind

    @abstractmethod
    def first(self, index: int, text: str) -> bytes:
        """The first event of a choice."""

    def begin(self, index: int) -> bytes:
        """The first event of a choice, which says nothing else."""
        return self.first(index, "")

    @abstractmethod
    def more(self, index: int, text: str) -> bytes: ...

    @abstractmethod
    def finish(self, index: int, reason: str) -> bytes: ...

    def usage(self, usage: Usage) -> bytes:
        """The event without choices."""
        return b"data: %b\n\n" % _encode(self._envelope([], usage))

    def whole(self, choices: list[dict[str, Any]], usage: Usage) -> bytes:
        envelope = self._envelope(choices, usage)
        envelope["object"] = self._kind.removesuffix(".chunk")
        return _encode(envelope)

    def _envelope(self, choices: list[dict[str, Any]], usage: Usage) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": self._kind,
            "created": self._created,
            "model": self._model,
            "choices": choices,
            "usage": usage.as_dict(),
        }

    def _head(self) -> bytes:
        return b'data: {"id":"%b","object":"%b","created":%d,"model":%b,"choices":[{"index":' % (
            self.id.encode(),
            self._kind.encode(),
            self._created,
            _encode(self._model),
        )


class ChatFormat(Format):
    """OpenAI's own client puts a streamed chat together only if its choices begin in order, and without logprobs."""

    endpoint = "chat_completions"
    begins_together = True

    def __init__(self, model: str) -> None:
        super().__init__("chatcmpl-", "chat.completion.chunk", model)
        self._event = b""

    def first(self, index: int, text: str) -> bytes:
        self._event = (
            self._event
            or self._head().replace(b"%", b"%%") + b'%d,"delta":{%b},"logprobs":null,"finish_reason":%b}]}\n\n'
        )
        return self._event % (index, b'"role":"assistant","content":' + _encode(text), b"null")

    def more(self, index: int, text: str) -> bytes:
        return self._event % (index, b'"content":' + _encode(text), b"null")

    def finish(self, index: int, reason: str) -> bytes:
        return self._event % (index, b"", b'"%b"' % reason.encode())

    def choice(self, index: int, text: str, reason: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": text, "refusal": None}
        return {"index": index, "message": message, "logprobs": None, "finish_reason": reason}


class CompletionFormat(Format):
    endpoint = "completions"

    def __init__(self, model: str) -> None:
        super().__init__("cmpl-", "text_completion", model)
        self._event = b""

    def first(self, index: int, text: str) -> bytes:
        tail = b'%d,"text":%b,"logprobs":null,"finish_reason":%b}]}\n\n'
        self._event = self._event or self._head().replace(b"%", b"%%") + tail
        return self.more(index, text)

    def more(self, index: int, text: str) -> bytes:
        return self._event % (index, _encode(text), b"null")

    def finish(self, index: int, reason: str) -> bytes:
        return self._event % (index, b'""', b'"%b"' % reason.encode())

    def choice(self, index: int, text: str, reason: str) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": reason}
