"""llama.cpp sends no token until the text so far is whole characters, and then only the last one's id.

The ids it swallowed are found again from the text: they are its tokens up to the last.
"""

from __future__ import annotations

from dynamo_cli.workers.engines.llamacpp.client import LlamaClient

_ANCHOR = "\n"
"""Stands before the text, so that a tokenizer that puts a space before a text's first word does it there."""
_REMEMBERED = 4096


class HeldBack:
    def __init__(self, client: LlamaClient) -> None:
        self._client = client
        self._known: dict[str, list[int]] = {}

    async def tokens(self, text: str, last: int) -> list[int]:
        """The ids behind `text`, which ended with the token `last`.

        Where the model split the characters in another way than the tokenizer does, the ids are others, the text is
        the same.
        """
        found = self._known.get(text)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[text] = await self._tokenized(text)
        return found or [last]

    async def _tokenized(self, text: str) -> list[int]:
        left = len(text.encode())
        ids: list[int] = []
        for piece in reversed(await self._client.tokenize(_ANCHOR + text)):
            if left <= 0:
                break
            ids.append(piece.id)
            left -= piece.size
        return ids[::-1]
