"""What the frontend of NVIDIA Dynamo 1.6 exposes, one name a line, and what became of it here."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]


class Told(NamedTuple):
    """Here under the same name and type, with its labels and perhaps `more` of them."""

    kind: Kind
    labels: tuple[str, ...] = ()
    more: tuple[str, ...] = ()


class Untold(NamedTuple):
    kind: Kind
    because: str


MODEL = ("model",)
REQUEST = ("model", "endpoint", "request_type")
WORKER = ("worker_id", "dp_rank", "worker_type")
WORKERS_LOAD = "the lengths and times of each worker are not kept"
ROUTER_IN_FRONTEND = "the router is part of the frontend: dynamo_frontend_* say it"
SHARED_CACHE = "no cache is shared by workers"
OVERHEAD = "stage_duration_seconds has the stage route"
MEDIA = "takes text alone"
PLANE = "stage_duration_seconds has these stages"
TOKIO = "of the reference's runtime; event_loop_* say it of ours"

REFERENCE: dict[str, Told | Untold] = {
    "dynamo_frontend_active_requests": Told("gauge", MODEL),
    "dynamo_frontend_audio_per_request": Untold("histogram", MEDIA),
    "dynamo_frontend_cached_tokens": Told("histogram", MODEL),
    "dynamo_frontend_detokenize_token_count": Told("counter"),
    "dynamo_frontend_detokenize_total_us": Told("counter"),
    "dynamo_frontend_disconnected_clients": Told("gauge", more=MODEL),
    "dynamo_frontend_embedding_latency_seconds": Untold("histogram", "no embeddings yet"),
    "dynamo_frontend_event_loop_delay_seconds": Told("histogram", more=("frontend",)),
    "dynamo_frontend_event_loop_stall_total": Told("counter", more=("frontend",)),
    "dynamo_frontend_failures_total": Untold("counter", "requests_total has status and error_type"),
    "dynamo_frontend_image_tokens_per_request": Untold("histogram", MEDIA),
    "dynamo_frontend_images_per_request": Untold("histogram", MEDIA),
    "dynamo_frontend_inflight_requests": Told("gauge", MODEL),
    "dynamo_frontend_input_sequence_tokens": Told("histogram", MODEL),
    "dynamo_frontend_inter_token_latency_seconds": Told("histogram", MODEL),
    "dynamo_frontend_model_cancellation_total": Told("counter", REQUEST),
    "dynamo_frontend_model_context_length": Told("gauge", MODEL),
    "dynamo_frontend_model_kv_cache_block_size": Told("gauge", MODEL),
    "dynamo_frontend_model_max_num_batched_tokens": Told("gauge", MODEL),
    "dynamo_frontend_model_max_num_seqs": Told("gauge", MODEL),
    "dynamo_frontend_model_migration_duration_seconds": Told("histogram", ("model", "migration_type", "outcome")),
    "dynamo_frontend_model_migration_limit": Told("gauge", MODEL),
    "dynamo_frontend_model_migration_max_seq_len_exceeded_total": Told("counter", MODEL),
    "dynamo_frontend_model_migration_total": Told("counter", ("model", "migration_type")),
    "dynamo_frontend_model_ready": Told("gauge", MODEL),
    "dynamo_frontend_model_rejection_total": Told("counter", ("model", "endpoint")),
    "dynamo_frontend_model_total_kv_blocks": Told("gauge", MODEL),
    "dynamo_frontend_output_sequence_tokens": Told("histogram", MODEL),
    "dynamo_frontend_output_tokens_total": Told("counter", MODEL),
    "dynamo_frontend_queued_requests": Told("gauge", MODEL),
    "dynamo_frontend_request_duration_seconds": Told("histogram", MODEL),
    "dynamo_frontend_requests_started_total": Told("counter", REQUEST),
    "dynamo_frontend_requests_total": Told("counter", (*REQUEST, "status", "error_type")),
    "dynamo_frontend_router_queue_pending_requests": Untold("gauge", "no request waits in the router"),
    "dynamo_frontend_stage_duration_seconds": Told("histogram", ("stage",)),
    "dynamo_frontend_stage_requests": Told("gauge", ("stage", "phase")),
    "dynamo_frontend_template_seconds": Told("histogram", more=MODEL),
    "dynamo_frontend_time_to_first_token_seconds": Told("histogram", MODEL),
    "dynamo_frontend_tokenize_seconds": Told("histogram", more=MODEL),
    "dynamo_frontend_tokenizer_cache_cached_tokens_total": Told("counter", more=MODEL),
    "dynamo_frontend_tokenizer_cache_hits_total": Told("counter", more=MODEL),
    "dynamo_frontend_tokenizer_cache_misses_total": Told("counter", more=MODEL),
    "dynamo_frontend_tokenizer_cache_uncached_tokens_total": Told("counter", more=MODEL),
    "dynamo_frontend_tokenizer_latency_ms": Told("histogram", ("operation",)),
    "dynamo_frontend_videos_per_request": Untold("histogram", MEDIA),
    "dynamo_frontend_worker_active_decode_blocks": Told("gauge", WORKER, MODEL),
    "dynamo_frontend_worker_active_prefill_tokens": Told("gauge", WORKER, MODEL),
    "dynamo_frontend_worker_last_input_sequence_tokens": Untold("gauge", WORKERS_LOAD),
    "dynamo_frontend_worker_last_inter_token_latency_seconds": Untold("gauge", WORKERS_LOAD),
    "dynamo_frontend_worker_last_time_to_first_token_seconds": Untold("gauge", WORKERS_LOAD),
    "dynamo_request_plane_inflight_requests": Untold("gauge", "dynamo_frontend_inflight_requests are the same"),
    "dynamo_request_plane_queue_seconds": Untold("histogram", PLANE),
    "dynamo_request_plane_roundtrip_ttft_seconds": Untold("histogram", PLANE),
    "dynamo_request_plane_send_seconds": Untold("histogram", PLANE),
    "dynamo_router_overhead_block_hashing_ms": Untold("histogram", OVERHEAD),
    "dynamo_router_overhead_indexer_find_matches_ms": Untold("histogram", OVERHEAD),
    "dynamo_router_overhead_scheduling_ms": Untold("histogram", OVERHEAD),
    "dynamo_router_overhead_seq_hashing_ms": Untold("histogram", OVERHEAD),
    "dynamo_router_overhead_shared_cache_query_ms": Untold("histogram", SHARED_CACHE),
    "dynamo_router_overhead_total_ms": Untold("histogram", OVERHEAD),
    "dynamo_router_shared_cache_errors_total": Untold("counter", SHARED_CACHE),
    "dynamo_component_router_input_sequence_tokens": Untold("histogram", ROUTER_IN_FRONTEND),
    "dynamo_component_router_inter_token_latency_seconds": Untold("histogram", ROUTER_IN_FRONTEND),
    "dynamo_component_router_kv_hit_rate": Told("histogram", more=MODEL),
    "dynamo_component_router_kv_transfer_estimated_latency_seconds": Untold(
        "histogram", "no blocks move between workers yet"
    ),
    "dynamo_component_router_non_max_overlap_selections_total": Told("counter", more=MODEL),
    "dynamo_component_router_output_sequence_tokens": Untold("histogram", ROUTER_IN_FRONTEND),
    "dynamo_component_router_overlap_blocks_lost": Untold(
        "histogram", "kv_best_eligible_ and kv_selected_cached_prefix_tokens_total differ by it"
    ),
    "dynamo_component_router_requests_started_total": Untold("counter", ROUTER_IN_FRONTEND),
    "dynamo_component_router_requests_total": Told("counter", more=MODEL),
    "dynamo_component_router_shared_cache_beyond_blocks": Untold("histogram", SHARED_CACHE),
    "dynamo_component_router_shared_cache_hit_rate": Untold("histogram", SHARED_CACHE),
    "dynamo_component_router_time_to_first_token_seconds": Untold("histogram", ROUTER_IN_FRONTEND),
    "dynamo_component_uptime_seconds": Untold("gauge", "process_start_time_seconds says it"),
    "dynamo_tokio_alive_tasks": Untold("gauge", TOKIO),
    "dynamo_tokio_blocking_idle_threads": Untold("gauge", TOKIO),
    "dynamo_tokio_blocking_queue_depth": Untold("gauge", TOKIO),
    "dynamo_tokio_blocking_threads": Untold("gauge", TOKIO),
    "dynamo_tokio_budget_forced_yield_total": Untold("counter", TOKIO),
    "dynamo_tokio_global_queue_depth": Untold("gauge", TOKIO),
    "dynamo_tokio_queue_overload_warnings_total": Untold("counter", TOKIO),
    "dynamo_tokio_worker_busy_ratio": Untold("gauge", TOKIO),
    "dynamo_tokio_worker_local_queue_depth": Untold("gauge", TOKIO),
    "dynamo_tokio_worker_mean_poll_time_ns": Untold("gauge", TOKIO),
    "dynamo_tokio_worker_overflow_count_total": Untold("counter", TOKIO),
    "dynamo_tokio_worker_park_count_total": Untold("counter", TOKIO),
    "dynamo_tokio_worker_steal_count_total": Untold("counter", TOKIO),
    "dynamo_transport_tcp_accept_backoff_total": Untold("counter", "the request plane does not count its bytes"),
    "dynamo_transport_tcp_bytes_received_total": Untold("counter", "the request plane does not count its bytes"),
    "dynamo_transport_tcp_bytes_sent_total": Untold("counter", "the request plane does not count its bytes"),
    "dynamo_transport_tcp_errors_total": Untold("counter", "requests_total and model_migration_total tell them"),
}
OURS_ALONE = {
    "dynamo_component_kv_cache_events_applied": "the reference has it, but not before the first event",
    "dynamo_component_router_kv_selected_cached_prefix_tokens_total": "the reference has it in mode kv alone",
    "dynamo_component_router_kv_best_eligible_cached_prefix_tokens_total": "the reference has it in mode kv alone",
    "dynamo_component_router_blind_workers": "the reference leaves it to find out",
    "dynamo_component_router_service_requests_total": "frontends of the reference ask no router process",
    "dynamo_component_router_unseen_workers": "the reference leaves it to find out",
    "remote_prefill_total": "the reference counts no prefills",
    "remote_prefill_kept_local_total": "the reference counts no prefills",
    "prefill_workers_answered_total": "the reference's prefill workers answer nothing",
    "remote_prefill_fallback_total": "the reference counts no prefills",
    "kv_transfer_total": "the reference's engines tell it, each in its way",
    "kv_transfer_tokens_total": "the reference's engines tell it",
    "kv_transfer_bytes_total": "the reference's engines tell it",
    "kv_transfer_seconds_total": "the reference's engines tell it",
    "worker_kv_blocks_known": "the reference has a service for it",
    "scrape_up": "the reference has one frontend an endpoint",
    "process_cpu_seconds_total": "the process, as Prometheus' own libraries tell it",
    "process_resident_memory_bytes": "the process",
    "process_virtual_memory_bytes": "the process",
    "process_open_fds": "the process",
    "process_max_fds": "the process",
    "process_start_time_seconds": "the process",
}
