"""One event of a streamed chat answer, as far as a chat needs it."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from dynamo_cli.bench.answers import Usage
from dynamo_cli.errors import StreamIncomplete


class Delta(msgspec.Struct):
    """Servers call what a model thinks before it answers `reasoning_content` or `reasoning`."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class Choice(msgspec.Struct):
    delta: Delta | None = None
    finish_reason: str | None = None


class Reply(msgspec.Struct):
    """`error` is set when the server gave up; `nvext` is whatever the server says there."""

    choices: list[Choice] = []
    usage: Usage | None = None
    error: Any = None
    nvext: Any = None

    @property
    def worker(self) -> str:
        """The worker's name, else its id, empty when the server does not tell."""
        told = self.nvext.get("worker_id") if isinstance(self.nvext, dict) else None
        if not isinstance(told, dict):
            return ""
        return str(told.get("decode_worker") or told.get("decode_worker_id") or "")


ReplyDecoder: TypeAlias = "msgspec.json.Decoder[Reply]"
_decoder: ReplyDecoder = msgspec.json.Decoder(Reply)


def decode(event: bytes) -> Reply:
    """Raises StreamIncomplete for what is no event of a chat."""
    try:
        return _decoder.decode(event)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StreamIncomplete(f"the server sent a broken event: {error}") from None
