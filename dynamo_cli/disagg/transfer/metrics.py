"""What was transferred, as Prometheus' text."""

from __future__ import annotations

from dynamo_cli.disagg.transfer.offers import Counts

_PREFIX = "dynamo_kv_transfer"
_COUNTERS = ("offered", "sent", "sent_bytes", "fetched", "fetched_bytes", "expired", "refused", "failed")
_GAUGES = ("held", "held_bytes")


def transfer_metrics(counts: Counts) -> str:
    lines = []
    for name in _COUNTERS:
        lines += [f"# TYPE {_PREFIX}_{name} counter", f"{_PREFIX}_{name}_total {getattr(counts, name)}"]
    for name in _GAUGES:
        lines += [f"# TYPE {_PREFIX}_{name} gauge", f"{_PREFIX}_{name} {getattr(counts, name)}"]
    return "\n".join([*lines, ""])
