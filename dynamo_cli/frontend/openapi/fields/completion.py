"""Fields of completions alone."""

from __future__ import annotations

from dynamo_cli.frontend.openapi.fields.common import REFUSED, TOKEN_ID
from dynamo_cli.frontend.openapi.fields.field import Field

COMPLETION = {
    "prompt": Field(
        "A text, token ids, or a list of one of them: each gets its choices.",
        schema={
            "anyOf": [
                {"type": "string", "title": "text"},
                {"type": "array", "title": "texts", "minItems": 1, "items": {"type": "string"}},
                {"type": "array", "title": "token ids", "minItems": 1, "items": TOKEN_ID},
                {
                    "type": "array",
                    "title": "lists of token ids",
                    "minItems": 1,
                    "items": {"type": "array", "minItems": 1, "items": TOKEN_ID},
                },
            ]
        },
        example="Once upon a time",
    ),
    "logprobs": Field(
        "Tell the log probability of each token, and of so many of the likeliest ones. Needs an engine that can."
    ),
    "echo": Field("The text begins with the prompt.", default=False),
    "suffix": Field(REFUSED, schema={"type": "string", "maxLength": 0}),
}
