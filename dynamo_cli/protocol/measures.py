"""What a supervisor measures of its deployment: the numbers that `status`, `top` and the terminal UI show."""

from __future__ import annotations

import msgspec


class ProcessUse(msgspec.Struct, kw_only=True, frozen=True):
    """Of a process and its descendants. `cpu`: cores, over the last interval. `memory`: resident bytes."""

    cpu: float
    memory: int


class WorkerMeasures(msgspec.Struct, kw_only=True, frozen=True):
    """What a worker is doing. What is None is not known, or nothing of it happened within the window.

    `running`, `waiting`: requests now. `kv_usage`: share of the KV cache in use, 0 to 1. `hit`: share of the prompt
    tokens of the window that were found in the cache, 0 to 1. Rates are per second over the window.
    """

    running: int | None = None
    waiting: int | None = None
    kv_usage: float | None = None
    hit: float | None = None
    requests_s: float | None = None
    prompt_tokens_s: float | None = None
    output_tokens_s: float | None = None
    ttft_p50_s: float | None = None


class Transfers(msgspec.Struct, kw_only=True, frozen=True):
    """Disaggregation: KV that moved, in the window (`_s`: per second) and since the start (`total`)."""

    transfers_s: float = 0.0
    bytes_s: float = 0.0
    transfers_total: int = 0
    bytes_total: int = 0
    kept_local_total: int = 0
    fallbacks_total: int = 0


class Traffic(msgspec.Struct, kw_only=True, frozen=True):
    """What the frontends answered in the window, seconds long, and in all. Latencies in seconds, None without any.

    `failed_total`: requests that ended with an error of ours, not of the client's. `transfers`: None without
    workers that only prefill.
    """

    window_s: float = 0.0
    in_flight: int = 0
    requests_s: float = 0.0
    output_tokens_s: float = 0.0
    prompt_tokens_s: float = 0.0
    ttft_p50_s: float | None = None
    ttft_p99_s: float | None = None
    itl_p50_s: float | None = None
    itl_p99_s: float | None = None
    requests_total: int = 0
    failed_total: int = 0
    output_tokens_total: int = 0
    transfers: Transfers | None = None


class GpuMeasures(msgspec.Struct, kw_only=True, frozen=True):
    """One GPU or MIG slice that the deployment has. Bytes; `utilization` 0 to 1; None where the driver does not tell.

    `services`: those of this deployment that have it.
    """

    index: int
    name: str
    uuid: str = ""
    memory_used: int = 0
    memory_total: int = 0
    utilization: float | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    services: list[str] = []
