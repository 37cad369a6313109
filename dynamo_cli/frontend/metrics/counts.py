"""The numbers themselves, by model, and the tracker that feeds them in the life of one request."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from dynamo_cli.frontend.metrics.buckets import DEFAULT_BUCKETS, STAGE_S, TEMPLATE_S, TOKENIZE_MS, TOKENIZE_S, Buckets
from dynamo_cli.runtime.histogram import Histogram

if TYPE_CHECKING:
    from dynamo_cli.text.segment_cache import CacheCounts

Finished = tuple[str, str, str, str]


class ModelCounts:
    """`finished` counts by (endpoint, request type, status, error type), `started` by (endpoint, request type).

    `detokenize_s` is of the `shown` tokens. `output_tokens` are those that were counted only at the end of their
    request besides: of workers that answer in text. `caches`: of the tokenizers that the model has had.
    """

    def __init__(self, buckets: Buckets = DEFAULT_BUCKETS) -> None:
        self.finished: dict[Finished, int] = {}
        self.started: dict[tuple[str, str], int] = {}
        self.inflight = 0
        self.queued = 0
        self.disconnected = 0
        self.shown = 0
        self.output_tokens = 0
        self.detokenize_s = 0.0
        self.caches: list[CacheCounts] = []
        self.first_token = Histogram(buckets.first_token)
        self.between_tokens = Histogram(buckets.between_tokens)
        self.duration = Histogram(buckets.request_duration)
        self.input_length = Histogram(buckets.input_length)
        self.output_length = Histogram(buckets.output_length)
        self.cached = Histogram(buckets.input_length)
        self.template = Histogram(TEMPLATE_S)
        self.tokenize = Histogram(TOKENIZE_S)
        self.tokenize_ms = Histogram(TOKENIZE_MS)
        self.preprocess = Histogram(STAGE_S)
        self.route = Histogram(STAGE_S)
        self.roundtrip = Histogram(STAGE_S)
        self.decode = Histogram(STAGE_S)

    def tokenized(self, seconds: float) -> None:
        self.tokenize.observe(seconds)
        self.tokenize_ms.observe(seconds * 1e3)


class Tracker:
    """Follows one request through its stages; call `finished` exactly once. Times are of time.perf_counter."""

    __slots__ = ("_counts", "_dispatched", "_endpoint", "_first", "_last", "_prepared", "_tokens", "_type", "start")

    def __init__(self, counts: ModelCounts, endpoint: str, streamed: bool) -> None:
        self._counts = counts
        self._endpoint = endpoint
        self._type = "stream" if streamed else "unary"
        self._tokens = 0
        self._prepared = self._dispatched = self._first = 0.0
        self.start = self._last = perf_counter()
        counts.inflight += 1
        counts.queued += 1
        key = (endpoint, self._type)
        counts.started[key] = counts.started.get(key, 0) + 1

    def prepared(self) -> None:
        """It is known what to ask of a worker."""
        self._prepared = perf_counter()

    def dispatched(self) -> None:
        """Workers have it."""
        self._dispatched = perf_counter()

    def tokens(self, count: int, began: float) -> None:
        """`count` new tokens have become text, which began at that time."""
        now = perf_counter()
        counts = self._counts
        counts.shown += count
        counts.detokenize_s += now - began
        self._tokens += count
        if self._first:
            if count:
                counts.between_tokens.observe((now - self._last) / count, count)
        else:
            self._begin(now)
        self._last = now

    def begun(self, count: int) -> None:
        """The first `count` tokens of a choice are there, and will be read later: never those of a stream."""

    def _begin(self, now: float) -> None:
        self._first = now
        counts = self._counts
        counts.queued -= 1
        counts.first_token.observe(now - self.start)

    def lengths(self, prompt: int, completion: int, cached: int) -> None:
        """Token counts of an answer that is complete."""
        counts = self._counts
        counts.input_length.observe(prompt)
        counts.output_length.observe(completion)
        counts.output_tokens += max(0, completion - self._tokens)
        counts.cached.observe(cached)

    def finished(self, error_type: str = "") -> None:
        now = perf_counter()
        counts = self._counts
        counts.inflight -= 1
        counts.disconnected += error_type == "cancelled"
        counts.duration.observe(now - self.start)
        key = (self._endpoint, self._type, "error" if error_type else "success", error_type)
        counts.finished[key] = counts.finished.get(key, 0) + 1
        if not self._first:
            counts.queued -= 1
        if self._prepared:
            self._observe_stages(now)

    def _observe_stages(self, now: float) -> None:
        """Those that it came through; at the end, when nobody waits any more."""
        counts = self._counts
        counts.preprocess.observe(self._prepared - self.start)
        if self._dispatched:
            counts.route.observe(self._dispatched - self._prepared)
        if self._first:
            counts.roundtrip.observe(self._first - self._dispatched)
            counts.decode.observe(now - self._first)


class WholeTracker(Tracker):
    """Of an answer that is not streamed: most of its tokens are read only when all are there."""

    __slots__ = ("_unread",)

    def __init__(self, counts: ModelCounts, endpoint: str, streamed: bool) -> None:
        super().__init__(counts, endpoint, streamed)
        self._unread = 0

    def begun(self, count: int) -> None:
        self._unread += count
        if not self._first:
            now = self._last = perf_counter()
            self._begin(now)

    def tokens(self, count: int, began: float) -> None:
        """Those that came first came with nothing between them, so the time is that of the others."""
        now = perf_counter()
        counts = self._counts
        counts.shown += count
        counts.detokenize_s += now - began
        self._tokens += count
        later, self._unread = count - self._unread, 0
        if not self._first:
            self._begin(now)
        elif later > 0:
            counts.between_tokens.observe((now - self._last) / later, later)
        self._last = now


def track(counts: ModelCounts, endpoint: str, streamed: bool) -> Tracker:
    return (Tracker if streamed else WholeTracker)(counts, endpoint, streamed)


_ERROR_TYPES = {400: "validation", 404: "not_found", 499: "cancelled", 501: "not_implemented", 503: "unavailable"}
_ERROR_TYPES |= {504: "response_timeout", 529: "overload"}


def error_type(status: int) -> str:
    return _ERROR_TYPES.get(status, "internal")
