"""When a request may go on with another worker, and how often it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dynamo_cli.errors import (
    CannotConnect,
    Draining,
    DynamoError,
    NoInstances,
    Overloaded,
    PlaneError,
    Unauthorized,
)
from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.protocol.instance import ModelIdentity
from dynamo_cli.routing.registry import RoutedModel
from dynamo_cli.runtime.histogram import Histogram

Outcome = Literal["recovered", "failed", "cancelled"]
DEFAULT_LIMIT = 3
_TOOK_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0)
_REFUSED = (CannotConnect, NoInstances, Draining, Overloaded, Unauthorized)


@dataclass(frozen=True)
class MigrationOptions:
    """`limit`: how often one request may outlive its worker; 0 is never. A worker that refuses it does not count.

    `max_seq_len`: prompt and generated tokens of a begun request that may still move; None is any.
    `silence_s`: a worker that has sent nothing of a stream for so long has lost it; 0 waits for ever.
    """

    limit: int = DEFAULT_LIMIT
    max_seq_len: int | None = None
    silence_s: float = 0.0


class MigrationCounts:
    """Requests sent to another worker: `new` had no token yet, `ongoing` had. `too_long` are over max_seq_len.

    `took`: seconds without a worker, by kind (new_request, ongoing_request) and outcome (recovered, failed, cancelled).
    """

    def __init__(self) -> None:
        self.new = 0
        self.ongoing = 0
        self.too_long = 0
        self.took: dict[tuple[str, str], Histogram] = {}

    def settled(self, begun: bool, outcome: Outcome, seconds: float) -> None:
        """A request whose worker was lost has a token of another one, or has ended."""
        key = ("ongoing_request" if begun else "new_request", outcome)
        self.took.setdefault(key, Histogram(_TOOK_S)).observe(seconds)


def is_refusal(error: DynamoError) -> bool:
    """The worker never began the request."""
    return isinstance(error, _REFUSED)


def is_loss(error: DynamoError) -> bool:
    """The worker was lost after it may have begun."""
    return isinstance(error, PlaneError) and not isinstance(error, CannotConnect)


def reads_alike(one: ModelIdentity | None, other: ModelIdentity | None) -> bool:
    """Whether what was made for workers of one identity means the same to those of the other."""
    if one is None or other is None:
        return True
    return (one.text_digest, one.input) == (other.text_digest, other.input)


def counted(request: EngineRequest, model: RoutedModel) -> bool:
    """Whether it is known how many tokens of it there are: not when a worker answers in text, unless it resumes."""
    return bool(request.token_ids) or (model.identity is not None and model.identity.resumes)


def migratable(request: EngineRequest, model: RoutedModel) -> bool:
    """Whether another worker can go on in the middle of it: a grammar's state is not in the tokens."""
    return counted(request, model) and request.guided is None
