"""A level's figures as other benchmarks write them, for scripts that read those: `--format vllm-json|aiperf-json`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.bench.report.model import Report, Spread, Summary
from dynamo_cli.bench.report.spread import spread

VLLM_TIMES = {"ttft": "ttft_ms", "tpot": "tpot_ms", "itl": "itl_ms", "e2el": "e2e_ms"}
AIPERF_TIMES = {
    "request_latency": "e2e_ms",
    "time_to_first_token": "ttft_ms",
    "time_to_second_token": "ttst_ms",
    "inter_token_latency": "tpot_ms",
    "inter_chunk_latency": "chunk_ms",
}
"""AIPerf's inter-token latency is a request's mean, (E2E - TTFT) / (tokens - 1): what others call TPOT."""


def vllm_json(summary: Summary, records: Sequence[RequestRecord]) -> dict[str, Any]:
    """What `vllm bench serve --save-result --save-detailed` writes, but for texts and tokenizer. Arrays in seconds."""
    point = summary.points[0]
    report = point.report
    answered = [record for record in records if not record.cancelled]
    fields: dict[str, Any] = {
        "date": time.strftime("%Y%m%d-%H%M%S", time.localtime(summary.created)),
        "backend": "openai-chat",
        "endpoint_type": "openai-chat",
        "model_id": report.model,
        "num_prompts": report.requests,
        "request_rate": "inf" if point.rate is None else point.rate,
        "burstiness": summary.args.get("burstiness", 1.0),
        "max_concurrency": report.concurrency,
        "duration": report.duration_s,
        "completed": report.ok,
        "failed": sum(report.errors.values()),
        "total_input_tokens": report.prompt_tokens,
        "total_output_tokens": report.completion_tokens,
        "request_throughput": report.requests_per_s,
        "request_goodput": report.goodput.requests_per_s if report.goodput else None,
        "output_throughput": report.output_tokens_per_s,
        "total_token_throughput": report.total_tokens_per_s,
        "max_output_tokens_per_s": report.peak_output_tokens_per_s,
        "max_concurrent_requests": report.peak_concurrency,
    }
    for name, ours in VLLM_TIMES.items():
        fields |= _vllm_times(name, getattr(report, ours))
    return {
        **fields,
        "input_lens": [record.prompt_tokens for record in answered],
        "output_lens": [record.completion_tokens for record in answered],
        "ttfts": [(record.ttft_ms or 0.0) / 1e3 for record in answered],
        "itls": [[gap / 1e3 for gap in record.itl_ms] for record in answered],
        "start_times": [record.sent_ms / 1e3 for record in answered],
        "errors": [record.detail or record.error for record in answered],
    }


def _vllm_times(name: str, times: Spread | None) -> dict[str, float]:
    if times is None:
        return {}
    figures = {"mean": times.mean, "median": times.p50, "std": times.std, "p90": times.p90, "p99": times.p99}
    return {f"{figure}_{name}_ms": value for figure, value in figures.items()}


def aiperf_json(summary: Summary, records: Sequence[RequestRecord]) -> dict[str, Any]:
    """What AIPerf's profile_export_aiperf.json has of these figures: a unit and statistics of each metric."""
    report = summary.points[0].report
    good = [record for record in records if record.ok]
    metrics = {name: _statistics("ms", getattr(report, ours)) for name, ours in AIPERF_TIMES.items()}
    metrics |= {
        "output_token_throughput_per_user": _statistics("tokens/sec/user", report.user_tokens_per_s),
        "input_sequence_length": _statistics("tokens", spread(float(record.prompt_tokens) for record in good)),
        "output_sequence_length": _statistics("tokens", spread(float(record.completion_tokens) for record in good)),
        **_totals(report),
    }
    return {
        **{name: metric for name, metric in metrics.items() if metric is not None},
        "input_config": summary.args,
        "was_cancelled": False,
        "error_summary": [
            {"error_details": {"type": kind, "message": report.error_details.get(kind, kind)}, "count": count}
            for kind, count in report.errors.items()
        ],
    }


def _totals(report: Report) -> dict[str, dict[str, Any] | None]:
    values: dict[str, tuple[str, float | None]] = {
        "request_count": ("requests", report.ok),
        "error_request_count": ("requests", sum(report.errors.values())),
        "request_throughput": ("requests/sec", report.requests_per_s),
        "goodput": ("requests/sec", report.goodput.requests_per_s if report.goodput else None),
        "output_token_throughput": ("tokens/sec", report.output_tokens_per_s),
        "total_token_throughput": ("tokens/sec", report.total_tokens_per_s),
        "total_isl": ("tokens", report.prompt_tokens),
        "total_osl": ("tokens", report.completion_tokens),
        "benchmark_duration": ("sec", report.duration_s),
    }
    return {name: None if value is None else {"unit": unit, "avg": value} for name, (unit, value) in values.items()}


def _statistics(unit: str, of: Spread | None) -> dict[str, Any] | None:
    if of is None:
        return None
    percentiles = {f"p{rank}": getattr(of, f"p{rank}") for rank in (1, 5, 10, 25, 50, 75, 90, 95, 99)}
    return {"unit": unit, "avg": of.mean, "min": of.min, "max": of.max, **percentiles, "std": of.std}


FORMATS: dict[str, Callable[[Summary, Sequence[RequestRecord]], dict[str, Any]]] = {
    "vllm-json": vllm_json,
    "aiperf-json": aiperf_json,
}
