"""Guided decoding in llama.cpp's words: grammars of llguidance, which it is built with, and its own GBNF.

llama.cpp takes an llguidance grammar that cannot be compiled for no grammar at all, so each is tried out once.
"""

from __future__ import annotations

import re

import msgspec

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.engine import GuidedDecoding
from dynamo_cli.workers.engines.llamacpp.client import LlamaClient, events

KINDS = ("json", "regex", "choice", "grammar")
_LLGUIDANCE = "%llguidance {}\n"
_MARK = "#~#"
_MOST_KNOWN = 1024
_NAMES = {"json": "JSON schema", "regex": "regular expression", "choice": "list of choices"}
_SPECIAL = re.compile(r"\\.|/|\n", re.DOTALL)
# Small models fill free white space without end.
_WHITE_SPACE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def grammar_of(guided: GuidedDecoding) -> str:
    """Raises InvalidRequest for a grammar that is not GBNF."""
    if guided.grammar is None:
        return f"{_LLGUIDANCE}start: {_rule(guided)}"
    if guided.grammar.lstrip().startswith("%"):
        raise InvalidRequest("the grammar must be in GBNF, the form of llama.cpp")
    return guided.grammar


def _rule(guided: GuidedDecoding) -> str:
    if guided.json is not None:
        return "%json " + _json({"x-guidance": _WHITE_SPACE, **guided.json})
    if guided.choice is not None:
        return " | ".join([_json(text) for text in guided.choice])
    assert guided.regex is not None
    return f"/{_SPECIAL.sub(_escaped, guided.regex)}/"


def _escaped(found: re.Match[str]) -> str:
    """Within slashes, on one line."""
    return {"/": r"\/", "\n": r"\n"}.get(found[0].removeprefix("\\"), found[0])


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


class GrammarCheck:
    """Remembers the grammars that llama.cpp has understood."""

    def __init__(self, client: LlamaClient) -> None:
        self._client = client
        self._known: set[str] = set()

    async def __call__(self, guided: GuidedDecoding) -> None:
        """Raises InvalidRequest for what llama.cpp cannot follow. Takes a slot for a moment."""
        if guided.grammar is not None:
            return  # llama.cpp refuses a wrong one itself
        rule = _rule(guided)
        if rule in self._known:
            return
        if not await self._follows(f'{_LLGUIDANCE}start: "{_MARK}" guided\nguided: {rule}'):
            raise InvalidRequest(f"llama.cpp cannot follow this {_NAMES[guided.kind]}")
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known.add(rule)

    async def _follows(self, grammar: str) -> bool:
        """Whether an answer begins as the grammar wants and as no model would."""
        body = {"prompt": "a", "n_predict": len(_MARK), "temperature": 0.0, "stream": True, "grammar": grammar}
        text = ""
        async with await self._client.completion(body) as response:
            async for found in events(response):
                text += "".join([event.content for event in found])
        return text.startswith(_MARK)
