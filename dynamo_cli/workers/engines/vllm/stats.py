"""What vLLM counts: its scheduler's state each step, and its own Prometheus series."""

from __future__ import annotations

from typing import Any

from dynamo_cli.workers.engines.vllm.counts import Counts

_PREFIX = ("vllm:", "vllm_")


def stat_logger_of(counts: Counts) -> Any:
    """A factory of stat loggers that keep `counts` up to date."""
    from vllm.v1.metrics.loggers import StatLoggerBase

    class CountsLogger(StatLoggerBase):  # type: ignore[misc]
        def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
            self._rank = engine_index

        def record(self, scheduler_stats: Any, iteration_stats: Any, *more: Any, **named: Any) -> None:
            if scheduler_stats is not None:
                counts.record(scheduler_stats, self._rank)
                counts.transferred.record(scheduler_stats, iteration_stats)

        def log_engine_initialized(self) -> None:
            pass

    return CountsLogger


def own_series() -> str:
    """vLLM's families alone, without those of the Python process."""
    from prometheus_client import generate_latest
    from vllm.v1.metrics.prometheus import get_prometheus_registry

    lines = generate_latest(get_prometheus_registry()).decode().splitlines(keepends=True)
    return "".join(line for line in lines if line.removeprefix("# HELP ").removeprefix("# TYPE ").startswith(_PREFIX))
