"""What is known of one request for generated text when it is over: for its log line, its span and its trace record."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from dynamo_cli.frontend.formats import Usage
from dynamo_cli.runtime.http.exchange import Exchange
from dynamo_cli.runtime.trail import Trail

if TYPE_CHECKING:
    from dynamo_cli.frontend.choice import Choice
    from dynamo_cli.frontend.models import ServedModel

CLIENT_GONE = 499
"""The status of a request whose client left before there was an answer."""


class Record:
    """Made when the request came; `close` says how it went. `kind` is "chat" or "completions".

    `model` is None as long as it is not known. `choices` are there as soon as they begin. `problem`: the error type
    (metrics/counts.py) of an answer that is not whole. `began` is of time.perf_counter.
    """

    __slots__ = ("answer_id", "began", "choices", "kind", "model", "problem", "streamed", "trail", "usage")

    def __init__(self, kind: str, trail: Trail) -> None:
        self.began = perf_counter()
        self.kind = kind
        self.trail = trail
        self.model: ServedModel | None = None
        self.streamed = False
        self.answer_id = ""
        self.choices: list[Choice] = []
        self.usage: Usage | None = None
        self.problem = ""

    def close(self, choices: list[Choice], usage: Usage, problem: str) -> None:
        self.choices, self.usage, self.problem = choices, usage, problem

    @property
    def first_token_s(self) -> float | None:
        """From the request to the first answer of a worker; None when none came."""
        choices = self.choices
        if len(choices) == 1:
            return choices[0].first_at - self.began if choices[0].first_at else None
        first = min((choice.first_at for choice in choices if choice.first_at), default=None)
        return None if first is None else first - self.began

    @property
    def duration_s(self) -> float:
        """Until now."""
        return perf_counter() - self.began

    @property
    def finish(self) -> str:
        """The reason for which all choices ended, or the reasons, joined by commas."""
        choices = self.choices
        if len(choices) == 1:
            return choices[0].reason
        return ",".join(dict.fromkeys(choice.reason for choice in choices if choice.reason))

    @property
    def workers(self) -> list[int]:
        """Instance ids of those that served it last, each once."""
        choices = self.choices
        if len(choices) == 1:
            return [choices[0].instance_id] if choices[0].instance_id else []
        return list(dict.fromkeys(choice.instance_id for choice in choices if choice.instance_id))

    def name_of(self, worker: int) -> str:
        """The supervisor's name of it, else its id as discovery writes it."""
        card = self.model.routed.cards.get(worker) if self.model is not None else None
        return card.instance.service if card is not None and card.instance.service else f"{worker:x}"


def status_of(exchange: Exchange) -> int:
    """What the client saw."""
    return exchange.status or CLIENT_GONE
