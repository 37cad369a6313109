"""The port of a worker's system server: a fixed one is for one process."""

from __future__ import annotations

from collections.abc import Mapping

SYSTEM_PORT = "DYN_SYSTEM_PORT"


def fixed_port(own: Mapping[str, str], inherited: Mapping[str, str]) -> int:
    """The port that every worker with these variables would listen on, 0 when each takes any free one or none."""
    text = own.get(SYSTEM_PORT, inherited.get(SYSTEM_PORT, "")).strip()
    return int(text) if text.isdecimal() else 0
