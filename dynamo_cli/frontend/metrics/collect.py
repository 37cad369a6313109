"""From what this process counts to samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from dynamo_cli.frontend.metrics.counts import ModelCounts
from dynamo_cli.frontend.metrics.loop_delay import LoopDelay
from dynamo_cli.frontend.metrics.process import process_values
from dynamo_cli.frontend.metrics.samples import Samples, add
from dynamo_cli.frontend.models import Models
from dynamo_cli.frontend.unseen import REASONS as UNSEEN
from dynamo_cli.frontend.unseen import Unseen
from dynamo_cli.routing.kv_diagnosis import REASONS
from dynamo_cli.routing.kv_placing import KvPlacer
from dynamo_cli.routing.migration import MigrationCounts
from dynamo_cli.routing.registry import RoutedModel
from dynamo_cli.routing.remote_prefill import FALLBACK_REASONS, RemotePrefill
from dynamo_cli.runtime.histogram import Histogram

_HISTOGRAMS: dict[str, Callable[[ModelCounts], Histogram]] = {
    "request_duration_seconds": lambda c: c.duration,
    "time_to_first_token_seconds": lambda c: c.first_token,
    "inter_token_latency_seconds": lambda c: c.between_tokens,
    "input_sequence_tokens": lambda c: c.input_length,
    "output_sequence_tokens": lambda c: c.output_length,
    "cached_tokens": lambda c: c.cached,
    "template_seconds": lambda c: c.template,
    "tokenize_seconds": lambda c: c.tokenize,
}
_STAGES: dict[str, Callable[[ModelCounts], Histogram]] = {
    "preprocess": lambda c: c.preprocess,
    "route": lambda c: c.route,
    "transport_roundtrip": lambda c: c.roundtrip,
    "decode": lambda c: c.decode,
}
_OF_CARDS = ("total_kv_blocks", "max_num_seqs", "max_num_batched_tokens")
_OF_CACHES = ("hits", "misses", "cached_tokens", "uncached_tokens")
_PHASE = "aggregated"


def collect(models: Models, loop: LoopDelay, unseen: Unseen, frontend: str) -> Samples:
    """All that this process knows now; `frontend` names it."""
    samples: Samples = {}
    for name, counts in models.counts.items():
        _add_requests(samples, name, counts)
        _add_times(samples, name, counts)
    for dispatcher in models.dispatchers:
        _add_model(samples, dispatcher.model, dispatcher.options.limit)
        _add_migrations(samples, dispatcher.model.name, dispatcher.migrations)
        if dispatcher.remote is not None:
            _add_remote(samples, dispatcher.remote)
        if isinstance(dispatcher.placer, KvPlacer):
            _add_router(samples, dispatcher.placer)
    if models.service is not None:
        for outcome, times in models.service.counts.items():
            add(samples, "dynamo_component_router_service_requests_total", (outcome,), times)
    missing = Counter((one.model, one.reason) for one in unseen.workers.values())
    names = {dispatcher.model.name for dispatcher in models.dispatchers}
    for name in sorted(names | {model for model, _ in missing}):
        for reason in UNSEEN:
            add(samples, "dynamo_component_router_unseen_workers", (name, reason), missing[name, reason])
    add(samples, "event_loop_delay_seconds", (frontend,), loop.delay)
    add(samples, "event_loop_stall_total", (frontend,), loop.stalls)
    for process_name, value in process_values():
        add(samples, process_name, (frontend,), value)
    return samples


def _add_requests(samples: Samples, model: str, counts: ModelCounts) -> None:
    for (endpoint, kind, status, error_type), times in counts.finished.items():
        add(samples, "requests_total", (model, endpoint, kind, status, error_type), times)
        if error_type == "cancelled":
            add(samples, "model_cancellation_total", (model, endpoint, kind), times)
        elif error_type == "overload":
            add(samples, "model_rejection_total", (model, endpoint), times)
    for (endpoint, kind), times in counts.started.items():
        add(samples, "requests_started_total", (model, endpoint, kind), times)
    add(samples, "inflight_requests", (model,), counts.inflight)
    add(samples, "active_requests", (model,), counts.inflight)
    add(samples, "queued_requests", (model,), counts.queued)
    add(samples, "disconnected_clients", (model,), counts.disconnected)
    add(samples, "output_tokens_total", (model,), counts.shown + counts.output_tokens)


def _add_times(samples: Samples, model: str, counts: ModelCounts) -> None:
    for name, of in _HISTOGRAMS.items():
        add(samples, name, (model,), of(counts))
    for stage, of in _STAGES.items():
        add(samples, "stage_duration_seconds", (stage,), of(counts))
    add(samples, "stage_requests", ("dispatch", _PHASE), counts.queued)
    add(samples, "stage_requests", ("decode", _PHASE), counts.inflight - counts.queued)
    add(samples, "tokenizer_latency_ms", ("tokenize",), counts.tokenize_ms)
    add(samples, "detokenize_total_us", (), counts.detokenize_s * 1e6)
    add(samples, "detokenize_token_count", (), counts.shown)
    for cache in counts.caches:
        for name in _OF_CACHES:
            add(samples, f"tokenizer_cache_{name}_total", (model,), getattr(cache, name))


def _add_model(samples: Samples, model: RoutedModel, migration_limit: int) -> None:
    """Of one without workers only that it has none."""
    labels = (model.name,)
    add(samples, "model_ready", labels, int(bool(model.candidates)))
    add(samples, "model_migration_limit", labels, migration_limit)
    _add_loads(samples, model, "decode")
    if model.identity is None:
        return
    add(samples, "model_context_length", labels, model.context_length)
    add(samples, "model_kv_cache_block_size", labels, model.identity.kv_block_size)
    for name in _OF_CARDS:
        add(samples, f"model_{name}", labels, sum(getattr(card, name) for card in model.cards.values()))


def _add_loads(samples: Samples, model: RoutedModel, kind: str) -> None:
    for worker, load in model.loads.known().items():
        of_worker = (model.name, f"{worker:x}", "0", kind)
        add(samples, "worker_active_decode_blocks", of_worker, load.active_decode_blocks)
        add(samples, "worker_active_prefill_tokens", of_worker, load.active_prefill_tokens)


def _add_remote(samples: Samples, remote: RemotePrefill) -> None:
    labels, counts = (remote.model.name,), remote.counts
    add(samples, "remote_prefill_total", labels, counts.prefills)
    add(samples, "remote_prefill_kept_local_total", labels, counts.kept_local)
    add(samples, "prefill_workers_answered_total", labels, counts.answered)
    for reason in FALLBACK_REASONS:
        add(samples, "remote_prefill_fallback_total", (*labels, reason), counts.fallbacks[reason])
    add(samples, "kv_transfer_total", labels, counts.transfers)
    add(samples, "kv_transfer_tokens_total", labels, counts.tokens)
    add(samples, "kv_transfer_bytes_total", labels, counts.bytes)
    add(samples, "kv_transfer_seconds_total", labels, counts.seconds)
    _add_loads(samples, remote.model, "prefill")


def _add_router(samples: Samples, placer: KvPlacer) -> None:
    model, counts, router = placer.model.name, placer.counts, placer.router
    of_router: dict[str, int | Histogram] = {
        "requests_total": counts.requests,
        "kv_hit_rate": counts.hit_rate,
        "kv_selected_cached_prefix_tokens_total": counts.selected_tokens,
        "kv_best_eligible_cached_prefix_tokens_total": counts.best_tokens,
        "non_max_overlap_selections_total": counts.missed,
    }
    for name, value in of_router.items():
        add(samples, f"dynamo_component_router_{name}", (model,), value)
    for kind, applied in counts.applied.items():
        add(samples, "dynamo_component_kv_cache_events_applied", (model, kind, "ok"), applied)
    blind = list(placer.diagnosis.blind.values())
    for reason in REASONS:
        add(samples, "dynamo_component_router_blind_workers", (model, reason), blind.count(reason))
    for worker in router.workers:
        add(samples, "worker_kv_blocks_known", (model, f"{worker:x}", "0", "decode"), router.known_blocks(worker))


def _add_migrations(samples: Samples, model: str, counts: MigrationCounts) -> None:
    add(samples, "model_migration_total", (model, "new_request"), counts.new)
    add(samples, "model_migration_total", (model, "ongoing_request"), counts.ongoing)
    add(samples, "model_migration_max_seq_len_exceeded_total", (model,), counts.too_long)
    for (kind, outcome), took in counts.took.items():
        add(samples, "model_migration_duration_seconds", (model, kind, outcome), took)
