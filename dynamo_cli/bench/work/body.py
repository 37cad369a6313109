"""A chat completion request as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

Message = dict[str, str]


@dataclass(frozen=True)
class Format:
    """What all requests of a run have in common. `extra`: the user's own fields, which win.

    `ask_worker`: ask which worker answered; for servers that know the extension.
    """

    model: str
    stream: bool = True
    ignore_eos: bool = False
    ask_worker: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    def body(self, messages: Sequence[Message], max_tokens: int) -> bytes:
        """A stream is asked for its usage."""
        fields: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "max_tokens": max_tokens,
            "stream": self.stream,
        }
        if self.stream:
            fields["stream_options"] = {"include_usage": True}
        if self.ignore_eos:
            fields["ignore_eos"] = True
        if self.ask_worker:
            fields["nvext"] = {"extra_fields": ["worker_id"]}
        return msgspec.json.encode(fields | dict(self.extra))
