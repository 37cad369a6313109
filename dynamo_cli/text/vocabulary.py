"""The `tokenizer.ggml.*` part of a GGUF file's metadata, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dynamo_cli.errors import ModelMissing
from dynamo_cli.hub.gguf import Metadata

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


@dataclass(frozen=True)
class Vocabulary:
    metadata: Metadata

    def get(self, key: str, default: Any = None) -> Any:
        return self.metadata.get(f"tokenizer.ggml.{key}", default)

    @cached_property
    def tokens(self) -> list[str]:
        tokens = self.get("tokens")
        if not isinstance(tokens, list) or not tokens:
            raise ModelMissing("the GGUF file has no tokens")
        return [token or f"[EMPTY_{number}]" for number, token in enumerate(tokens)]

    @cached_property
    def ids(self) -> dict[str, int]:
        """Token -> id."""
        ids = {token: number for number, token in enumerate(self.tokens)}
        if len(ids) != len(self.tokens):
            raise ModelMissing("the GGUF file has a token twice")
        return ids

    @cached_property
    def types(self) -> list[int]:
        return self._numbers("token_type", NORMAL)

    @cached_property
    def scores(self) -> list[float]:
        return self._numbers("scores", 0.0)

    def flag(self, key: str, default: bool) -> bool:
        value = self.get(key)
        return value if isinstance(value, bool) else default

    def token_id(self, key: str, default: int | None = None) -> int | None:
        """The id under `key`, when it is one of this vocabulary."""
        for value in (self.get(key), default):
            if isinstance(value, int) and 0 <= value < len(self.tokens):
                return value
        return None

    def _numbers(self, key: str, default: Any) -> list[Any]:
        values = self.get(key)
        if values is None:
            return [default] * len(self.tokens)
        if isinstance(values, (str, int, float)) or len(values) < len(self.tokens):
            raise ModelMissing(f"the GGUF file has fewer {key} than tokens")
        return list(values)
