"""The mixed requests: chat and completions, streamed and not, short and long, with prefixes that several share."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import msgspec

from dynamo_cli.bench.work.prompts import words

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
PREFIXES, PREFIX_WORDS = 8, 200
SHORT = (30, 12)
LONG = (400, 160)
"""Words of the prompt and tokens of the answer."""


class Mixed(NamedTuple):
    """A request and how many tokens it is answered with."""

    path: str
    body: bytes
    stream: bool
    tokens: int


def mixed_asks(model: str, count: int, seed: int = 0) -> list[Mixed]:
    """The same for the same arguments. Of four in a row three are streamed; every second is a chat."""
    rng = random.Random(f"chaos {seed}")
    prefixes = [words(rng, PREFIX_WORDS) for _ in range(PREFIXES)]
    return [_ask(model, number, prefixes, rng) for number in range(count)]


def _ask(model: str, number: int, prefixes: list[str], rng: random.Random) -> Mixed:
    long, chat, stream = number // 4 % 2 == 1, number % 2 == 0, number % 4 != 3
    isl, osl = LONG if long else SHORT
    text = f"{prefixes[number % PREFIXES]} {words(rng, isl)}" if long else words(rng, isl)
    fields: dict[str, Any] = {"model": model, "max_tokens": osl, "ignore_eos": True, "stream": stream}
    fields |= {"messages": [{"role": "user", "content": text}]} if chat else {"prompt": text}
    if stream:
        fields["stream_options"] = {"include_usage": True}
    return Mixed(CHAT if chat else COMPLETIONS, msgspec.json.encode(fields), stream, osl)
