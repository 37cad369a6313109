"""What /metrics tells: names, types and labels as the reference has them, and how those of several frontends add up."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]


class Family(NamedTuple):
    """`name` is without prefix, which `prefixed` ones get.

    Values with equal labels are added up among frontends, or the `largest` counts. What is `lasting` also counts when
    its frontend is gone: it must not go back.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    lasting: bool = True
    largest: bool = False
    prefixed: bool = True


_MODEL = ("model",)
_FRONTEND = ("frontend",)
_ROUTER = "dynamo_component_router"
_REQUEST = ("model", "endpoint", "request_type")


def _counter(name: str, labels: tuple[str, ...], text: str) -> Family:
    return Family(name, "counter", labels, text)


def _histogram(name: str, labels: tuple[str, ...], text: str) -> Family:
    return Family(name, "histogram", labels, text)


def _plain(kind: Kind, name: str, labels: tuple[str, ...], text: str) -> Family:
    """Of the router: its names have a prefix of their own."""
    return Family(name, kind, labels, text, prefixed=False)


def _now(name: str, labels: tuple[str, ...], text: str) -> Family:
    """A gauge of what a frontend has at this moment."""
    return Family(name, "gauge", labels, text, lasting=False)


def _model(name: str, text: str) -> Family:
    """Every frontend sees the same workers; one that has just started does not yet."""
    return Family(f"model_{name}", "gauge", _MODEL, text, lasting=False, largest=True)


def _worker(name: str, text: str) -> Family:
    """Every frontend hears of the same worker, and knows of its own requests to it sooner."""
    labels = ("model", "worker_id", "dp_rank", "worker_type")
    return Family(f"worker_{name}", "gauge", labels, text, lasting=False, largest=True)


def _process(name: str, kind: Kind, text: str) -> Family:
    return Family(name, kind, _FRONTEND, text, lasting=False, prefixed=not name.startswith("process_"))


FAMILIES = (
    _counter("requests_total", (*_REQUEST, "status", "error_type"), "Requests answered, or given up"),
    _counter("requests_started_total", _REQUEST, "Requests received"),
    _now("inflight_requests", _MODEL, "Requests that are not answered completely"),
    _now("active_requests", _MODEL, "Requests that are not answered completely"),
    _now("queued_requests", _MODEL, "Requests that wait for their first token"),
    Family("disconnected_clients", "gauge", _MODEL, "Clients that left before their answer was complete"),
    _histogram("request_duration_seconds", _MODEL, "Request received to answer complete"),
    _histogram("time_to_first_token_seconds", _MODEL, "Request received to first token"),
    _histogram("inter_token_latency_seconds", _MODEL, "Between two tokens; the mean of an answer that is not streamed"),
    _histogram("input_sequence_tokens", _MODEL, "Prompt tokens of a request"),
    _histogram("output_sequence_tokens", _MODEL, "Generated tokens of a request"),
    _histogram("cached_tokens", _MODEL, "Prompt tokens served from the KV cache"),
    _counter("output_tokens_total", _MODEL, "Tokens generated, counted as they come"),
    _histogram("tokenizer_latency_ms", ("operation",), "Tokenizing a prompt"),
    _histogram("template_seconds", _MODEL, "Rendering the chat template"),
    _histogram("tokenize_seconds", _MODEL, "Tokenizing a prompt"),
    _counter("tokenizer_cache_hits_total", _MODEL, "Long stretches of prompts whose tokens were known"),
    _counter("tokenizer_cache_misses_total", _MODEL, "Long stretches of prompts that had to be tokenized"),
    _counter("tokenizer_cache_cached_tokens_total", _MODEL, "Tokens of the stretches that were known"),
    _counter("tokenizer_cache_uncached_tokens_total", _MODEL, "Tokens of the stretches that were not"),
    _counter("detokenize_total_us", (), "Turning tokens into text, microseconds"),
    _counter("detokenize_token_count", (), "Tokens turned into text"),
    _histogram("stage_duration_seconds", ("stage",), "How long requests were in a stage"),
    _now("stage_requests", ("stage", "phase"), "Requests in a stage"),
    _process("event_loop_delay_seconds", "histogram", "How late a timer of the event loop is"),
    _process("event_loop_stall_total", "counter", "Timers of the event loop that were more than 5 ms late"),
    _model("context_length", "The smallest context of the model's workers, tokens"),
    _model("kv_cache_block_size", "Tokens of a KV cache block"),
    _model("total_kv_blocks", "KV cache blocks of all the model's workers"),
    _model("max_num_seqs", "Sequences that the model's workers run at once"),
    _model("max_num_batched_tokens", "Tokens that the model's workers compute in one step"),
    _model("migration_limit", "How often a request may move to another worker"),
    _model("ready", "Whether a worker can take requests for the model"),
    _counter("model_migration_total", ("model", "migration_type"), "Requests sent to another worker"),
    _histogram(
        "model_migration_duration_seconds",
        ("model", "migration_type", "outcome"),
        "A worker lost to the next token of its request, or to the end of it",
    ),
    _counter("model_migration_max_seq_len_exceeded_total", _MODEL, "Requests that were too long to move"),
    _counter("remote_prefill_total", _MODEL, "Prompts computed by a prefill worker"),
    _counter("remote_prefill_kept_local_total", _MODEL, "Prompts left to a decode worker on purpose"),
    _counter("prefill_workers_answered_total", _MODEL, "Whole requests sent to prefill workers that nobody needed"),
    _counter(
        "remote_prefill_fallback_total",
        ("model", "reason"),
        "Prompts that a decode worker computed although a prefill worker should have",
    ),
    _counter("kv_transfer_total", _MODEL, "Prompts whose KV a decode worker fetched"),
    _counter("kv_transfer_tokens_total", _MODEL, "Tokens of that KV"),
    _counter("kv_transfer_bytes_total", _MODEL, "Bytes of it"),
    _counter("kv_transfer_seconds_total", _MODEL, "How long it was on its way"),
    _counter("model_cancellation_total", _REQUEST, "Requests whose client left"),
    _counter("model_rejection_total", ("model", "endpoint"), "Requests refused because the workers were busy"),
    _worker("active_decode_blocks", "KV blocks in use, as last known"),
    _worker("active_prefill_tokens", "Prompt tokens still to be prefilled, as last known"),
    _worker("kv_blocks_known", "KV blocks that it holds, as it told the router or as that guesses"),
    _plain("counter", f"{_ROUTER}_requests_total", _MODEL, "Requests routed by KV caches"),
    _plain("histogram", f"{_ROUTER}_kv_hit_rate", _MODEL, "The share of a prompt thought to be at its worker"),
    _plain(
        "counter",
        f"{_ROUTER}_kv_selected_cached_prefix_tokens_total",
        _MODEL,
        "Prompt tokens thought to be at the worker chosen",
    ),
    _plain(
        "counter",
        f"{_ROUTER}_kv_best_eligible_cached_prefix_tokens_total",
        _MODEL,
        "Prompt tokens thought to be at the worker that had most of them",
    ),
    _plain(
        "counter",
        f"{_ROUTER}_non_max_overlap_selections_total",
        _MODEL,
        "Requests that did not go there",
    ),
    _plain(
        "counter",
        f"{_ROUTER}_service_requests_total",
        ("outcome",),
        "Requests by what came of asking the router process; all but advised were routed here",
    ),
    _plain("counter", "dynamo_component_kv_cache_events_applied", ("model", "event_type", "status"), "KV events heard"),
    Family(
        f"{_ROUTER}_blind_workers",
        "gauge",
        ("model", "reason"),
        "Workers of which the router cannot know what they hold, though it should",
        lasting=False,
        largest=True,
        prefixed=False,
    ),
    Family(
        f"{_ROUTER}_unseen_workers",
        "gauge",
        ("model", "reason"),
        "Workers that are ready and get no requests, because a frontend does not know or cannot use them",
        lasting=False,
        largest=True,
        prefixed=False,
    ),
    _now("scrape_up", _FRONTEND, "Whether a frontend told its part of this answer"),
    _process("process_cpu_seconds_total", "counter", "CPU time, user and system"),
    _process("process_resident_memory_bytes", "gauge", "Resident memory"),
    _process("process_virtual_memory_bytes", "gauge", "Virtual memory"),
    _process("process_open_fds", "gauge", "Open file descriptors"),
    _process("process_max_fds", "gauge", "Most file descriptors it may open"),
    _process("process_start_time_seconds", "gauge", "When it started, seconds since the epoch"),
)
BY_NAME = {family.name: family for family in FAMILIES}
