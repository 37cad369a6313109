"""Measures as people read them: three digits say enough."""

from __future__ import annotations

from collections.abc import Iterator

from dynamo_cli.protocol.measures import GpuMeasures, Traffic, Transfers
from dynamo_cli.supervisor.words import gibibytes

NOTHING = "-"


def amount(value: float | None, unit: str = "") -> str:
    """`0`, `3.3`, `87`, `1,234`; with a unit `3.3 GB`, `871 MB`, `12 kB`, `0 B`."""
    if value is None:
        return NOTHING
    prefix = ""
    if unit:
        for prefix in ("", "k", "M", "G", "T"):
            if value < 999.5 or prefix == "T":
                break
            value /= 1000
    number = f"{value:.1f}" if 0 < value < 9.95 and value != int(value) else f"{value:,.0f}"
    return f"{number} {prefix}{unit}" if unit else number


def share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0%}"


def latency(seconds: float | None) -> str:
    """`0.4 ms`, `77 ms`, `1.2 s`, `41 s`."""
    if seconds is None:
        return NOTHING
    return f"{amount(seconds * 1000)} ms" if seconds < 0.9995 else f"{amount(round(seconds, 1))} s"


def traffic_lines(traffic: Traffic | None) -> list[str]:
    """What the frontends answer, and what moves between workers that prefill and those that decode."""
    if traffic is None:
        return []
    if not (traffic.requests_total or traffic.in_flight):
        return ["no requests yet"]
    return ["  ".join(_traffic(traffic)), *(["  ".join(_transfers(traffic.transfers))] if traffic.transfers else [])]


def _traffic(traffic: Traffic) -> Iterator[str]:
    yield f"{amount(traffic.requests_s)} req/s"
    yield f"{amount(traffic.output_tokens_s)} tok/s"
    yield f"{traffic.in_flight:,} in flight"
    if traffic.ttft_p50_s is not None:
        yield f"TTFT p50 {latency(traffic.ttft_p50_s)}, p99 {latency(traffic.ttft_p99_s)}"
    if traffic.itl_p50_s is not None:
        yield f"ITL p50 {latency(traffic.itl_p50_s)}"
    if traffic.failed_total:
        yield f"{traffic.failed_total:,} failed"


def _transfers(transfers: Transfers) -> Iterator[str]:
    yield f"{amount(transfers.transfers_s)} transfers/s"
    yield f"{amount(transfers.bytes_s, 'B')}/s"
    yield f"{transfers.transfers_total:,} in all, {amount(transfers.bytes_total, 'B')}"
    yield f"{transfers.kept_local_total:,} kept local"
    yield f"{transfers.fallbacks_total:,} fallbacks"


def gpu_line(gpu: GpuMeasures) -> str:
    """`GPU 0 NVIDIA H100  37%  37.3 GiB of 79.6 GiB  61 C  250 W  decode-0`; what nobody tells is left out."""
    parts = [f"GPU {gpu.index} {gpu.name}".rstrip(), share(gpu.utilization) if gpu.utilization is not None else ""]
    parts.append(f"{gibibytes(gpu.memory_used)} of {gibibytes(gpu.memory_total)}")
    parts.append("" if gpu.temperature_c is None else f"{gpu.temperature_c} C")
    parts.append("" if gpu.power_w is None else f"{gpu.power_w:.0f} W")
    return "  ".join(part for part in [*parts, ", ".join(gpu.services)] if part)
