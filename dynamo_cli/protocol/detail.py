"""What a supervisor tells of one service beyond its status: how it is started, and what its probes found."""

from __future__ import annotations

from typing import Literal

import msgspec


class ProbeResult(msgspec.Struct, kw_only=True, frozen=True):
    """One probe. `time`: when it was answered, seconds since the epoch. `reason`: why not, "" when `passed`.

    `kind`: how readiness was asked (admin, endpoint, http ...), or "live" for a liveness probe. `took_ms`:
    milliseconds until the answer.
    """

    time: float
    kind: str
    passed: bool
    took_ms: float
    reason: str = ""


class ServiceDetail(msgspec.Struct, kw_only=True, frozen=True):
    """Secrets are covered. `argv`: the exact command; `cwd`: where it runs, "" for where `up` was given.

    `env`: what is added to the supervisor's environment; `inherited`: what of that says how engines run. `probes`:
    the last ones, the latest last. `log`: the file with its output.
    """

    name: str
    argv: list[str]
    cwd: str = ""
    env: dict[str, str] = {}
    inherited: dict[str, str] = {}
    ports: dict[str, int] = {}
    asked: Literal["admin", "endpoint", "started", "http", "tcp", "exec", "log"] = "admin"
    probes: list[ProbeResult] = []
    log: str = ""
