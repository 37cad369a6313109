"""The environment vLLM's processes start in. What the user has set stays."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from dynamo_cli.workers.engines.vllm.queues import VARIABLE
from dynamo_cli.workers.engines.vllm.wire import SOCKET_VARIABLE

PLUGINS, PLUGIN = "vllm.general_plugins", "dynamo"
"""The group and name of our entry point."""


def prepare(environ: MutableMapping[str, str], directory: str, socket: str, *, on_cpu: bool) -> None:
    """Sockets in our private directory or on loopback, nothing reported to anybody, threads that leave a core."""
    environ[SOCKET_VARIABLE] = socket
    environ["VLLM_RPC_BASE_PATH"] = directory
    defaults = {
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_LOOPBACK_IP": "127.0.0.1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    if on_cpu:
        # vLLM binds every engine of a machine to the same core, and threads that share one are many times slower.
        defaults |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(max(1, _cores() - 1))}
        defaults[VARIABLE] = "1"
    for name, value in defaults.items():
        environ.setdefault(name, value)
    allowed = environ.get("VLLM_PLUGINS")
    if allowed is not None and PLUGIN not in allowed.split(","):
        environ["VLLM_PLUGINS"] = f"{allowed},{PLUGIN}" if allowed else PLUGIN


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
