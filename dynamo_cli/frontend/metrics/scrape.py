"""Prometheus text of the counts, under the reference's names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from dynamo_cli.frontend.metrics.counts import ModelCounts
from dynamo_cli.frontend.metrics.histogram import Histogram

if TYPE_CHECKING:
    from prometheus_client.core import HistogramMetricFamily, Metric

    from dynamo_cli.routing.migration import MigrationCounts
    from dynamo_cli.routing.registry import RoutedModel

PREFIX = "dynamo_frontend_"

_HISTOGRAMS: list[tuple[str, str, Callable[[ModelCounts], Histogram]]] = [
    ("time_to_first_token_seconds", "Request received to first token", lambda c: c.first_token),
    ("inter_token_latency_seconds", "Between two tokens of a request", lambda c: c.between_tokens),
    ("request_duration_seconds", "Request received to answer complete", lambda c: c.duration),
    ("input_sequence_tokens", "Prompt tokens of a request", lambda c: c.input_length),
    ("output_sequence_tokens", "Generated tokens of a request", lambda c: c.output_length),
    ("cached_tokens", "Prompt tokens served from the KV cache", lambda c: c.cached),
    ("template_seconds", "Rendering the chat template", lambda c: c.template),
    ("tokenize_seconds", "Tokenizing the prompt", lambda c: c.tokenize),
]
_GAUGES: list[tuple[str, str, Callable[[ModelCounts], int]]] = [
    ("inflight_requests", "Requests that are not answered completely", lambda c: c.inflight),
    ("queued_requests", "Requests that wait for their first token", lambda c: c.queued),
    ("disconnected_clients", "Clients that left before their answer was complete", lambda c: c.disconnected),
]


def render(
    counts: Mapping[str, ModelCounts], models: Iterable[RoutedModel], migrations: Mapping[str, MigrationCounts]
) -> bytes:
    """The text of GET /metrics."""
    from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(_Collected([*_request_metrics(counts), *_model_metrics(models), *_migration_metrics(migrations)]))
    return generate_latest(registry)


class _Collected:
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics


def _request_metrics(counts: Mapping[str, ModelCounts]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    finished = CounterMetricFamily(
        PREFIX + "requests",
        "Requests answered, or given up",
        labels=["model", "endpoint", "request_type", "status", "error_type"],
    )
    started = CounterMetricFamily(
        PREFIX + "requests_started", "Requests received", labels=["model", "endpoint", "request_type"]
    )
    tokens = CounterMetricFamily(PREFIX + "output_tokens", "Tokens generated", labels=["model"])
    for model, count in counts.items():
        tokens.add_metric([model], count.output_tokens)
        for finished_labels, value in count.finished.items():
            finished.add_metric([model, *finished_labels], value)
        for started_labels, value in count.started.items():
            started.add_metric([model, *started_labels], value)
    yield from (finished, started, tokens)
    for name, help_text, gauge_of in _GAUGES:
        gauge = GaugeMetricFamily(PREFIX + name, help_text, labels=["model"])
        for model, count in counts.items():
            gauge.add_metric([model], gauge_of(count))
        yield gauge
    for name, help_text, histogram_of in _HISTOGRAMS:
        family = HistogramMetricFamily(PREFIX + name, help_text, labels=["model"])
        for model, count in counts.items():
            _add_histogram(family, model, histogram_of(count))
        yield family


def _add_histogram(family: HistogramMetricFamily, model: str, histogram: Histogram) -> None:
    total, buckets = 0, []
    for bound, count in zip([*map(str, histogram.bounds), "+Inf"], histogram.counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    family.add_metric([model], buckets, histogram.sum)


def _model_metrics(models: Iterable[RoutedModel]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    models = [model for model in models if model.cards]
    fields = ("total_kv_blocks", "max_num_seqs", "max_num_batched_tokens")
    gauges = {
        name: GaugeMetricFamily(f"{PREFIX}model_{name}", f"The model's {name.replace('_', ' ')}", labels=["model"])
        for name in ("context_length", "kv_cache_block_size", "ready", *fields)
    }
    for model in models:
        gauges["context_length"].add_metric([model.name], model.context_length)
        gauges["kv_cache_block_size"].add_metric([model.name], model.identity.kv_block_size if model.identity else 0)
        gauges["ready"].add_metric([model.name], 1 if model.candidates else 0)
        for name in fields:
            gauges[name].add_metric([model.name], sum(getattr(card, name) for card in model.cards.values()))
    yield from gauges.values()


def _migration_metrics(migrations: Mapping[str, MigrationCounts]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily

    moved = CounterMetricFamily(
        PREFIX + "model_migration", "Requests sent to another worker", labels=["model", "migration_type"]
    )
    too_long = CounterMetricFamily(
        PREFIX + "model_migration_max_seq_len_exceeded",
        "Begun requests that lost their worker and were too long to move",
        labels=["model"],
    )
    for name, count in migrations.items():
        moved.add_metric([name, "new_request"], count.new)
        moved.add_metric([name, "ongoing_request"], count.ongoing)
        too_long.add_metric([name], count.too_long)
    yield from (moved, too_long)
