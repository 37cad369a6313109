from __future__ import annotations

import pytest

from dynamo_cli.text.endings import end_token_ids
from dynamo_cli.text.vocabulary import Vocabulary


@pytest.mark.parametrize(
    ("tokens", "ends"),
    [
        ("a <|im_end|> <|endoftext|> b", {"<|im_end|>", "<|endoftext|>"}),
        ("a <|eot_id|> <|eom_id|> <|end_of_text|>", {"<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"}),
        ("a <|end|> b", {"<|end|>"}),
        ("a <|end|> <|return|> <|call|>", {"<|return|>", "<|call|>"}),
        ("a </s> <|tool_response>", {"<|tool_response>"}),
        ("a my-own-end", {"my-own-end"}),
    ],
)
def test_which_tokens_end_a_turn(tokens: str, ends: set[str]) -> None:
    words = tokens.split()
    metadata = {"tokenizer.ggml.tokens": words}
    if "my-own-end" in words:
        metadata["tokenizer.ggml.eos_token_id"] = 1  # type: ignore[assignment]
    assert {words[number] for number in end_token_ids(Vocabulary(metadata))} == ends  # type: ignore[arg-type]
