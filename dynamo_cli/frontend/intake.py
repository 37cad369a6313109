"""What every request for generated text or vectors comes through: its trail, its counts, its deadline."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from dynamo_cli.frontend.answer import Answer
from dynamo_cli.frontend.deadlines import Deadlines
from dynamo_cli.frontend.flush import Flusher
from dynamo_cli.frontend.metrics.counts import ModelCounts
from dynamo_cli.frontend.models import Models, ServedModel
from dynamo_cli.runtime.http.exchange import Exchange
from dynamo_cli.runtime.http.request import Request
from dynamo_cli.runtime.switches import is_on
from dynamo_cli.runtime.trail import Trail, begin_trail

PROBE_HEADER = b"x-dynamo-probe"


class Intake:
    """`ignores_nvext`: requests are read as if they had none."""

    def __init__(
        self, models: Models, sample: Callable[[Trail], Trail] | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        self.models = models
        self.flusher = Flusher()
        self.ignores_nvext = is_on("DYN_DISABLE_FRONTEND_NVEXT", environ)
        self._sample = sample
        self._deadlines = Deadlines()

    def trail(self, request: Request) -> Trail:
        headers = request.headers
        trail = begin_trail(request.id.decode("ascii"), headers.get(b"traceparent"), headers.get(b"tracestate"))
        if self._sample is None:
            return trail
        return replace(trail, sampled=False) if request.trusted else self._sample(trail)

    def model(self, exchange: Exchange, name: str) -> ServedModel:
        """Raises ModelMissing or NotReady. A probe of the supervisor's counts nowhere."""
        model = self.models.get(name)
        return model.uncounted() if probes(exchange) else model

    def counts_of_unknown(self, exchange: Exchange) -> ModelCounts:
        """Where a request counts whose model is not known."""
        return ModelCounts() if probes(exchange) else self.models.counts_of("")

    def limit(self, answer: Answer, seconds: float | None) -> None:
        """How long the client waits for the whole answer; None is for ever."""
        if seconds is None:
            return
        deadlines = self._deadlines
        tick = deadlines.add(answer, seconds)
        answer.at_end(lambda: deadlines.discard(answer, tick))


def probes(exchange: Exchange) -> bool:
    """Whether the supervisor asks if there is an answer at all: busy workers are no reason to have none."""
    return exchange.request.trusted and PROBE_HEADER in exchange.request.headers
