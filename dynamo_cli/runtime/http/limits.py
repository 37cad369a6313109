from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, times in seconds. `idle_s` bounds a silent connection that has no request in flight."""

    head: int = 64 << 10
    body: int = 192 * MIB
    pipelined: int = 16
    idle_s: float = 75.0
    linger_s: float = 2.0
