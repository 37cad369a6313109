"""What is told of one field of a request."""

from __future__ import annotations

from typing import Any, NamedTuple

Schema = dict[str, Any]
"""A JSON schema, draft 2020-12."""


class Field(NamedTuple):
    """`text`: its meaning, in Markdown. `default`: what counts without it, where that is always the same.

    `schema`: instead of the type's, where more is checked than the type says; null stays allowed where it was.
    """

    text: str
    default: Any = None
    example: Any = None
    schema: Schema | None = None


def ref(name: str) -> Schema:
    """A reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}
