"""Which tokens end a turn."""

from __future__ import annotations

from dynamo_cli.text.vocabulary import Vocabulary

END_TOKENS = frozenset(
    "<|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|flush|> <|calls|> <end_of_turn> <|endoftext|> </s> <|eom_id|> "
    "<EOT> _<EOT> [EOT] [EOS] <|end_of_text|> <end_of_utterance> <eos> <turn|> <|tool_response> "
    "<｜end▁of▁sentence｜> [e~[".split()
)
"""Tokens by which models end their turn, whatever their file says of them."""


def end_token_ids(vocabulary: Vocabulary) -> list[int]:
    """The file's own end tokens and every token that is known to end a turn."""
    found = {number for token in END_TOKENS if (number := vocabulary.ids.get(token)) is not None}
    found |= {
        number
        for key in ("eos_token_id", "eot_token_id", "eom_token_id")
        if (number := vocabulary.token_id(key)) is not None
    }
    return sorted(found - _not_endings(vocabulary))


def _not_endings(vocabulary: Vocabulary) -> set[int]:
    """In channel formats <|end|> closes a message, not the turn; beside <|tool_response>, </s> is a plain word."""
    ids = vocabulary.ids
    plain = set()
    if {"<|return|>", "<|call|>"} <= ids.keys() or ("<|flush|>" in ids and ({"<|calls|>", "<|call|>"} & ids.keys())):
        plain.add("<|end|>")
    if "<|tool_response>" in ids:
        plain.add("</s>")
    return {ids[token] for token in plain if token in ids}
