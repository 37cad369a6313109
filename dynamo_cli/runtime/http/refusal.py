"""A request that is not served, known before all of it is there."""

from __future__ import annotations

from typing import NamedTuple

from dynamo_cli.errors import DynamoError, InvalidRequest


class Refusal(NamedTuple):
    """`headers` are complete lines. The connection closes behind it: what follows cannot be told from its body."""

    error: DynamoError
    status: int
    headers: bytes = b""


def refusal(status: int, message: str) -> Refusal:
    return Refusal(InvalidRequest(message), status)
