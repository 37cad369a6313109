"""What this process takes, from /proc; under the names that Prometheus' own libraries use."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc/self")
_started = time.time()


def process_values() -> Iterator[tuple[str, int | float]]:
    """Names with values; those that this system does not tell are left out."""
    times = os.times()
    yield "process_cpu_seconds_total", times.user + times.system
    yield "process_start_time_seconds", _started
    yield "process_max_fds", resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        virtual, resident = (_PROC / "statm").read_text().split()[:2]
        descriptors = len(os.listdir(_PROC / "fd"))
    except (OSError, ValueError):
        return
    yield "process_virtual_memory_bytes", int(virtual) * resource.getpagesize()
    yield "process_resident_memory_bytes", int(resident) * resource.getpagesize()
    yield "process_open_fds", descriptors
