"""From what the frontends tell to what they do."""

from __future__ import annotations

import pytest

from dynamo_cli.frontend.metrics.counts import ModelCounts, Tracker
from dynamo_cli.frontend.metrics.samples import Samples, add
from dynamo_cli.frontend.metrics.text import write
from dynamo_cli.protocol.measures import Traffic
from dynamo_cli.runtime.histogram import Histogram
from dynamo_cli.supervisor.measuring.traffic import OF_CLIENTS, Told, told, traffic
from dynamo_cli.supervisor.measuring.window import Span

REQUEST = ("m", "chat_completions", "stream")


def metrics(requests: dict[str, int], moved: int = 0, in_flight: int = 0) -> bytes:
    """Of two models; `requests` by error type, of 10 tokens each."""
    samples: Samples = {}
    first_token = Histogram((0.01, 0.1, 1.0))
    for kind, times in requests.items():
        add(samples, "requests_total", (*REQUEST, "error" if kind else "success", kind), times)
        first_token.observe(0.05, times)
    add(samples, "time_to_first_token_seconds", ("m",), first_token)
    add(samples, "output_tokens_total", ("m",), 10 * sum(requests.values()))
    add(samples, "output_tokens_total", ("other",), 5)
    add(samples, "inflight_requests", ("m",), in_flight)
    add(samples, "kv_transfer_total", ("m",), moved)
    add(samples, "kv_transfer_bytes_total", ("m",), 1000 * moved)
    add(samples, "remote_prefill_fallback_total", ("m", "prefill_failed"), moved // 2)
    add(samples, "remote_prefill_fallback_total", ("m", "transfer_failed"), 1)
    return write(samples)


def test_rates_are_of_the_window_and_totals_of_all() -> None:
    before, now = told(metrics({"": 10})), told(metrics({"": 30, "internal": 2, "validation": 8}, in_flight=3))
    found = traffic(Span(before, now, 10.0), prefills=False)
    assert (found.requests_s, found.requests_total) == (3.0, 40)
    assert (found.output_tokens_s, found.output_tokens_total) == (30.0, 405)
    assert (found.failed_total, found.in_flight, found.window_s) == (2, 3, 10.0)
    assert found.ttft_p50_s == pytest.approx(0.01 + 0.09 * 0.5)
    assert found.itl_p50_s is None and found.transfers is None


def test_transfers_are_told_where_workers_only_prefill() -> None:
    before, now = told(metrics({}, moved=4)), told(metrics({}, moved=10))
    moved = traffic(Span(before, now, 2.0), prefills=True).transfers
    assert moved is not None
    assert (moved.transfers_s, moved.bytes_s) == (3.0, 3000.0)
    assert (moved.transfers_total, moved.bytes_total) == (10, 10000)
    assert (moved.fallbacks_total, moved.kept_local_total) == (6, 0)


def test_counters_that_begin_anew_make_no_rate_negative() -> None:
    before, now = told(metrics({"": 50}, moved=9)), told(metrics({"": 4}, moved=1))
    found = traffic(Span(before, now, 2.0), prefills=True)
    assert (found.requests_s, found.output_tokens_s, found.requests_total) == (2.0, 22.5, 4)
    assert found.transfers is not None and found.transfers.bytes_s == 500.0
    assert found.ttft_p50_s is not None and 0.01 <= found.ttft_p50_s <= 0.1


def test_frontends_that_have_counted_nothing_tell_zeros() -> None:
    nothing = told(b"")
    assert nothing == Told()
    assert traffic(Span(nothing, nothing, 0.0), prefills=False) == Traffic()


@pytest.mark.parametrize("kind", ["", "validation", "cancelled", "internal", "overload", "unavailable"])
def test_who_is_to_blame(kind: str) -> None:
    counts = ModelCounts()
    Tracker(counts, "chat_completions", True).finished(kind)
    assert [error_type for _, _, _, error_type in counts.finished] == [kind]
    ours = kind in {"internal", "overload", "unavailable"}
    assert told(metrics({kind: 1})).failed == ours == (kind not in OF_CLIENTS)
