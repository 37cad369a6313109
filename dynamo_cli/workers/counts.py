"""What users' requests came to at this worker, counted around every engine alike."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from time import perf_counter

from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage
from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.runtime.exposition import histogram_lines
from dynamo_cli.runtime.histogram import Histogram

PREFIX = "dynamo_component"
FIRST_TOKEN_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
"""vLLM's bounds."""


class RequestCounts:
    """Of all but the supervisor's probes. Tokens: `output` as they come, `prompt` with the first of them.

    A prompt whose KV another worker handed over counts there. `queried` of prompts that ended with a usage, `found` of
    those in the engine's cache. `first_token`: seconds from
    the request's arrival to its first answer, which at a worker that prefills for others is the hand-over.
    """

    def __init__(self, caches: bool) -> None:
        """`caches`: the engine keeps prefixes."""
        self.requests = self.prompt = self.output = self.queried = self.found = 0
        self.first_token = Histogram(FIRST_TOKEN_S)
        self._caches = caches

    async def counted(self, deltas: AsyncIterator[Delta], request: EngineRequest) -> AsyncGenerator[Delta, None]:
        """The deltas as they come; all that is done for each is to add its tokens."""
        began, waits, before = perf_counter(), True, 0
        try:
            async for delta in deltas:
                tokens = len(delta.token_ids) or bool(delta.text)
                self.output += tokens
                before += tokens
                if waits and (tokens or delta.vector or delta.handover is not None):
                    waits = False
                    self.prompt += 0 if _fetches(request) else len(request.token_ids)
                    self.first_token.observe(perf_counter() - began)
                if delta.usage is not None:
                    self._ended(request, delta.usage, before)
                yield delta
        finally:
            if isinstance(deltas, AsyncGenerator):
                await deltas.aclose()

    def series(self, labels: str, load: WorkerLoad) -> str:
        """Prometheus text; `labels` with their braces."""
        return "\n".join([*self._lines(labels, load), ""])

    def _ended(self, request: EngineRequest, usage: EngineUsage, before: int) -> None:
        """Only an engine that takes text counts its prompts itself, and tokens that it holds back as it ends."""
        if not request.prefill_only:
            self.output += max(0, usage.completion_tokens - before)
        if _fetches(request):
            return
        if not request.token_ids:
            self.prompt += usage.prompt_tokens
        self.queried += usage.prompt_tokens
        self.found += usage.cached_tokens

    def _lines(self, labels: str, load: WorkerLoad) -> Iterator[str]:
        counters = {"requests": self.requests, "prompt_tokens": self.prompt, "output_tokens": self.output}
        if self._caches:
            counters |= {"prefix_cache_queries": self.queried, "prefix_cache_hits": self.found}
        for name, value in counters.items():
            yield f"# TYPE {PREFIX}_{name} counter"
            yield f"{PREFIX}_{name}_total{labels} {value}"
        gauges = {"num_requests_running": load.running, "num_requests_waiting": load.waiting}
        if load.total_blocks:
            gauges |= {"active_blocks": load.active_decode_blocks, "total_blocks": load.total_blocks}
        for name, value in gauges.items():
            yield f"# TYPE {PREFIX}_{name} gauge"
            yield f"{PREFIX}_{name}{labels} {value}"
        yield f"# TYPE {PREFIX}_time_to_first_token_seconds histogram"
        yield from histogram_lines(f"{PREFIX}_time_to_first_token_seconds", labels[1:-1], self.first_token)


def _fetches(request: EngineRequest) -> bool:
    """Whether another worker computes its prompt; workers that meet are both told where."""
    return request.handover is not None and not request.prefill_only
