"""The numbers themselves, by model, and the tracker that feeds them in the life of one request."""

from __future__ import annotations

from time import perf_counter

from dynamo_cli.frontend.metrics.histogram import (
    BETWEEN_TOKENS_S,
    DURATION_S,
    FIRST_TOKEN_S,
    PREPROCESS_S,
    TOKENS,
    Histogram,
)

Labels = tuple[str, str, str, str]


class ModelCounts:
    """`finished` counts by (endpoint, request type, status, error type), `started` by (endpoint, request type)."""

    def __init__(self) -> None:
        self.finished: dict[Labels, int] = {}
        self.started: dict[tuple[str, str], int] = {}
        self.inflight = 0
        self.queued = 0
        self.disconnected = 0
        self.output_tokens = 0
        self.first_token = Histogram(FIRST_TOKEN_S)
        self.between_tokens = Histogram(BETWEEN_TOKENS_S)
        self.duration = Histogram(DURATION_S)
        self.input_length = Histogram(TOKENS)
        self.output_length = Histogram(TOKENS)
        self.cached = Histogram(TOKENS)
        self.template = Histogram(PREPROCESS_S)
        self.tokenize = Histogram(PREPROCESS_S)


class Tracker:
    """Follows one request; call `finished` exactly once. Times are of time.perf_counter."""

    __slots__ = ("_counts", "_endpoint", "_first", "_last", "_start", "_type")

    def __init__(self, counts: ModelCounts, endpoint: str, streamed: bool) -> None:
        self._counts = counts
        self._endpoint = endpoint
        self._type = "stream" if streamed else "unary"
        self._first = False
        self._start = self._last = perf_counter()
        counts.inflight += 1
        counts.queued += 1
        key = (endpoint, self._type)
        counts.started[key] = counts.started.get(key, 0) + 1

    @property
    def start(self) -> float:
        return self._start

    def tokens(self, count: int) -> None:
        """`count` new tokens have come."""
        now = perf_counter()
        counts = self._counts
        if self._first:
            if count:
                counts.between_tokens.observe((now - self._last) / count, count)
        else:
            self._first = True
            counts.queued -= 1
            counts.first_token.observe(now - self._start)
        self._last = now

    def lengths(self, prompt: int, completion: int, cached: int) -> None:
        """Token counts of an answer that is complete."""
        counts = self._counts
        counts.input_length.observe(prompt)
        counts.output_length.observe(completion)
        counts.output_tokens += completion
        counts.cached.observe(cached)

    def finished(self, error_type: str = "") -> None:
        counts = self._counts
        counts.inflight -= 1
        if not self._first:
            counts.queued -= 1
        counts.disconnected += error_type == "cancelled"
        counts.duration.observe(perf_counter() - self._start)
        key = (self._endpoint, self._type, "error" if error_type else "success", error_type)
        counts.finished[key] = counts.finished.get(key, 0) + 1


_ERROR_TYPES = {400: "validation", 404: "not_found", 499: "cancelled", 501: "not_implemented", 503: "unavailable"}
_ERROR_TYPES |= {504: "response_timeout", 529: "overload"}


def error_type(status: int) -> str:
    return _ERROR_TYPES.get(status, "internal")
