"""Fields of embeddings."""

from __future__ import annotations

from dynamo_cli.frontend.openapi.fields.common import COMMON, REFUSED, TOKEN_ID
from dynamo_cli.frontend.openapi.fields.field import Field
from dynamo_cli.protocol.decode import MAX_CHOICES

EMBEDDING = {
    "model": COMMON["model"],
    "input": Field(
        f"A text, token ids, or a list of one of them, {MAX_CHOICES} at most: each gets a vector.",
        schema={
            "anyOf": [
                {"type": "string", "title": "text", "minLength": 1},
                {"type": "array", "title": "texts", "minItems": 1, "items": {"type": "string"}},
                {"type": "array", "title": "token ids", "minItems": 1, "items": TOKEN_ID},
                {
                    "type": "array",
                    "title": "lists of token ids",
                    "minItems": 1,
                    "items": {"type": "array", "items": TOKEN_ID},
                },
            ]
        },
        example=["What color is the sky?", "How is the weather?"],
    ),
    "encoding_format": Field("Numbers, or their bytes: little-endian floats of 32 bits.", default="float"),
    "dimensions": Field("How many numbers a vector has; fewer than all needs an engine that can.", example=256),
    "nvext": COMMON["nvext"],
    "truncate_prompt_tokens": Field(REFUSED, schema={"type": "null"}),
}
