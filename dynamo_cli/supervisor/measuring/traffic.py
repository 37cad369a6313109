"""What the frontends answered, from what they tell of themselves together. Pure."""

from __future__ import annotations

from typing import NamedTuple

from dynamo_cli.protocol.measures import Traffic, Transfers
from dynamo_cli.supervisor.measuring.buckets import Buckets, grown
from dynamo_cli.supervisor.measuring.families import Reader
from dynamo_cli.supervisor.measuring.window import Span

PREFIX = "dynamo_frontend_"
REQUESTS, IN_FLIGHT = f"{PREFIX}requests_total", f"{PREFIX}inflight_requests"
PROMPT, OUTPUT = f"{PREFIX}input_sequence_tokens_sum", f"{PREFIX}output_tokens_total"
FIRST_TOKEN, BETWEEN = f"{PREFIX}time_to_first_token_seconds", f"{PREFIX}inter_token_latency_seconds"
TRANSFERS, BYTES = f"{PREFIX}kv_transfer_total", f"{PREFIX}kv_transfer_bytes_total"
KEPT_LOCAL, FALLBACKS = f"{PREFIX}remote_prefill_kept_local_total", f"{PREFIX}remote_prefill_fallback_total"
OF_CLIENTS = ("", "validation", "not_found", "cancelled", "not_implemented")
"""Values of error_type that are no failures of ours."""
_READER = Reader(
    (
        *(REQUESTS, IN_FLIGHT, PROMPT, OUTPUT, f"{FIRST_TOKEN}_bucket", f"{BETWEEN}_bucket"),
        *(TRANSFERS, BYTES, KEPT_LOCAL, FALLBACKS),
    )
)


class Told(NamedTuple):
    """Counts since the deployment's start, and the requests in flight now."""

    in_flight: int = 0
    requests: float = 0.0
    failed: float = 0.0
    prompt: float = 0.0
    output: float = 0.0
    first_token: Buckets = Buckets()
    between: Buckets = Buckets()
    transfers: float = 0.0
    bytes: float = 0.0
    kept_local: float = 0.0
    fallbacks: float = 0.0


def told(text: bytes) -> Told:
    """From the metrics of all frontends."""
    found = _READER.read(text)
    ended = found.by(REQUESTS, "error_type")
    return Told(
        in_flight=int(found.total(IN_FLIGHT)),
        requests=sum(ended.values()),
        failed=sum(times for kind, times in ended.items() if kind not in OF_CLIENTS),
        prompt=found.total(PROMPT),
        output=found.total(OUTPUT),
        first_token=found.buckets(FIRST_TOKEN),
        between=found.buckets(BETWEEN),
        transfers=found.total(TRANSFERS),
        bytes=found.total(BYTES),
        kept_local=found.total(KEPT_LOCAL),
        fallbacks=found.total(FALLBACKS),
    )


def traffic(span: Span[Told], prefills: bool) -> Traffic:
    """`prefills`: there are workers that only prefill. A span of no seconds has totals alone."""
    before, now, seconds = span
    first_token, between = now.first_token.since(before.first_token), now.between.since(before.between)
    return Traffic(
        window_s=round(seconds, 3),
        in_flight=now.in_flight,
        requests_s=rate(before.requests, now.requests, seconds),
        output_tokens_s=rate(before.output, now.output, seconds),
        prompt_tokens_s=rate(before.prompt, now.prompt, seconds),
        ttft_p50_s=rounded(first_token.quantile(0.5)),
        ttft_p99_s=rounded(first_token.quantile(0.99)),
        itl_p50_s=rounded(between.quantile(0.5)),
        itl_p99_s=rounded(between.quantile(0.99)),
        requests_total=int(now.requests),
        failed_total=int(now.failed),
        output_tokens_total=int(now.output),
        transfers=_transfers(before, now, seconds) if prefills else None,
    )


def rate(before: float, now: float, seconds: float) -> float:
    """Per second; never below 0."""
    return round(grown(before, now) / seconds, 3) if seconds else 0.0


def rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _transfers(before: Told, now: Told, seconds: float) -> Transfers:
    return Transfers(
        transfers_s=rate(before.transfers, now.transfers, seconds),
        bytes_s=rate(before.bytes, now.bytes, seconds),
        transfers_total=int(now.transfers),
        bytes_total=int(now.bytes),
        kept_local_total=int(now.kept_local),
        fallbacks_total=int(now.fallbacks),
    )
