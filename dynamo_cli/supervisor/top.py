"""`dynamo top` as people read it: what a deployment does now, a line for each service."""

from __future__ import annotations

from dynamo_cli.protocol.measures import WorkerMeasures
from dynamo_cli.runtime.control import DeploymentStatus, ServiceStatus
from dynamo_cli.supervisor.columns import aligned, filled, fitting, widths
from dynamo_cli.supervisor.measuring.words import amount, gpu_line, latency, share, traffic_lines
from dynamo_cli.supervisor.table import headline, kind_of

COLUMNS = (
    *("NAME", "KIND", "STATE", "CPU", "MEM", "RUN", "WAIT", "KV", "HIT", "REQ/S", "IN/S", "OUT/S", "TTFT", "RESTARTS"),
)
NAME, KIND, STATE, CPU, MEMORY, RUN, WAIT, KV, HIT, REQUESTS, IN, OUT, TTFT, RESTARTS = range(14)
SPARED = (RESTARTS, REQUESTS, HIT, IN, WAIT, STATE, KV, KIND, MEMORY, TTFT, CPU, RUN)
"""What a narrow terminal does without, first to last."""
STEADY_WIDTHS = {
    **{CPU: len("100%"), MEMORY: len("100 MB"), RUN: len("128"), KV: len("100%"), HIT: len("100%")},
    **{IN: len("12,345"), OUT: len("1,234"), TTFT: len("100 ms")},
}


def block(status: DeploymentStatus, width: int) -> list[str]:
    """Lines no longer than `width`."""
    lines = [COLUMNS, *map(_row, status.services)]
    sizes, told = widths(lines, STEADY_WIDTHS), filled(lines)
    chosen, _ = fitting([at for at in range(len(COLUMNS)) if at in told or at == RUN], sizes, SPARED, width + 2)
    head = [headline(status), *traffic_lines(status.traffic), *map(gpu_line, status.measured_gpus)]
    return [line[:width] for line in [*head, "", *aligned(lines, chosen, sizes, range(CPU, len(COLUMNS)))]]


def _row(service: ServiceStatus) -> tuple[str, ...]:
    use, serving = service.use, service.serving or WorkerMeasures()
    return (
        service.name,
        kind_of(service),
        service.state,
        share(use.cpu) if use else "-",
        amount(use.memory, "B") if use else "-",
        amount(serving.running),
        amount(serving.waiting),
        share(serving.kv_usage),
        share(serving.hit),
        amount(serving.requests_s),
        amount(serving.prompt_tokens_s),
        amount(serving.output_tokens_s),
        latency(serving.ttft_p50_s),
        str(service.restarts),
    )
