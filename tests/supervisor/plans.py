"""Plans of tiny children."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from dynamo_cli.topology.process import Plan, Probe, ProcessSpec, RestartPolicy

FAKE = (sys.executable, str(Path(__file__).with_name("fake_component.py")))
QUICK = RestartPolicy(backoff_s=0.05, backoff_max_s=0.1, max_restarts=3)


def frontend(replica: int = 0, **fields: Any) -> ProcessSpec:
    return _spec(
        f"frontend-{replica}", "frontend", "frontend", replica, **{"argv": FAKE, "inherits_listener": True, **fields}
    )


def worker(replica: int = 0, **fields: Any) -> ProcessSpec:
    return _spec(
        f"decode-{replica}", "worker", "decode", replica, **{"argv": FAKE, "engine": "mock", "model": "m", **fields}
    )


def custom(script: str, replica: int = 0, **fields: Any) -> ProcessSpec:
    """A shell script that is ready when it runs."""
    fields = {
        "argv": ("sh", "-c", script),
        "engine": "custom",
        "probe": Probe(kind="started"),
        "foreign": True,
        **fields,
    }
    return _spec(f"decode-{replica}", "worker", "decode", replica, **fields)


def plan(*processes: ProcessSpec, name: str = "test", models: tuple[str, ...] = ("m",)) -> Plan:
    return Plan(deployment=name, source="test.toml", host="127.0.0.1", port=0, models=models, processes=processes)


def custom_plan(*scripts: str, name: str = "test") -> Plan:
    return plan(*(custom(script, i) for i, script in enumerate(scripts)), name=name, models=())


def _spec(name: str, kind: Any, pool: str, replica: int, **fields: Any) -> ProcessSpec:
    fields = {"restart": QUICK, "stop_timeout_s": 2.0, **fields}
    return ProcessSpec(name=name, kind=kind, pool=pool, replica=replica, **fields)
