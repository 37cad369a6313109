"""The ways of one request: each worker it was sent to, why there, and what ended that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Literal, NamedTuple

from dynamo_cli.errors import DynamoError
from dynamo_cli.protocol.instance import ModelCard
from dynamo_cli.router.weighed import Weighed
from dynamo_cli.routing.hints import RoutingHints
from dynamo_cli.routing.placing import Placed
from dynamo_cli.routing.registry import RoutedModel

Named = Literal["client", "router", ""]


class Prefilled(NamedTuple):
    """What a prefill worker did for a request. `began` is of time.perf_counter; `seconds` until it had handed over."""

    worker: int
    service: str
    began: float
    seconds: float
    cached_tokens: int = 0


class Leg:
    """One attempt. Made for every request, so it keeps what is there anyway and words nothing.

    `named`: who named the worker, the client or the router process, if it was not chosen here. `candidates` could have
    it; `workers` of the model were in rotation, with these `cards`. `began` is of
    time.perf_counter. `left`: why the request did not end there; `tokens`: how many it had then,
    from all workers. `prefills`: it was to compute the prompt for the next one.
    """

    __slots__ = (
        "began",
        "candidates",
        "cards",
        "hints",
        "left",
        "named",
        "prefills",
        "tokens",
        "weighed",
        "worker",
        "workers",
    )

    def __init__(
        self,
        model: RoutedModel,
        worker: int,
        placed: Placed,
        candidates: Sequence[int],
        named: Named,
        hints: RoutingHints,
    ) -> None:
        self.worker = worker
        self.weighed: Weighed | None = placed.weighed
        self.candidates = candidates
        self.workers: Sequence[int] = model.candidates
        self.cards: Mapping[int, ModelCard] = model.cards
        self.named = named
        self.prefills = False
        self.hints = hints
        self.began = perf_counter()
        self.left = ""
        self.tokens = 0

    def end(self, error: DynamoError, tokens: int) -> None:
        self.left, self.tokens = str(error), tokens

    def name_of(self, worker: int) -> str:
        """The supervisor's name of it, else its id as discovery writes it, as it was then."""
        card = self.cards.get(worker)
        return card.instance.service if card is not None and card.instance.service else f"{worker:x}"
