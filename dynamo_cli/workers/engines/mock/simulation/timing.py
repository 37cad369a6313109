"""How long a step of a GPU engine takes, fitted to a real one."""

from __future__ import annotations

import math
from dataclasses import dataclass

_GRID = 2.0**30


def on_grid(seconds: float) -> float:
    """The next multiple of 2^-30 s (about a nanosecond).

    Floats hold and add such times exactly for 97 days, so that n steps at once end when n single ones do.
    """
    return math.ceil(seconds * _GRID) / _GRID


def prefill_ms(tokens: int) -> float:
    """Milliseconds to prefill `tokens` new prompt tokens in one batch; 0 for none."""
    return 4.209989e-07 * tokens * tokens + 1.518344e-02 * tokens + 16.50142 if tokens else 0.0


def decode_ms(occupancy: float) -> float:
    """Milliseconds of a decode step when that share (0..1) of the KV cache is active."""
    return max(1.0, -25.74 * occupancy * occupancy + 54.01 * occupancy + 5.74)


@dataclass(frozen=True)
class Link:
    """What KV moves over: to another worker, or back from the host's memory.

    `bandwidth` in GB/s (10^9 bytes). `bytes_per_token` is layers x 2 x KV heads x head size x bytes of a value.
    """

    bandwidth: float = 64.0
    bytes_per_token: int = 131072

    def seconds(self, tokens: int) -> float:
        """How long the KV of so many tokens is on its way."""
        return tokens * self.bytes_per_token / (self.bandwidth * 1e9)


@dataclass(frozen=True)
class StepClock:
    """`speedup` divides all times, `decode_speedup` decoding further; 0 means no delay."""

    speedup: float = 1.0
    decode_speedup: float = 1.0

    def seconds(self, prefill_tokens: int, decoding: bool, occupancy: float, transfer: float = 0.0) -> float:
        """The whole step, a multiple of 2^-30 s. `transfer`: seconds that KV it needs is on its way."""
        if not self.speedup:
            return 0.0
        total = prefill_ms(prefill_tokens) + transfer * 1000
        if decoding and self.decode_speedup:
            total += decode_ms(occupancy) / self.decode_speedup
        return round(total / self.speedup / 1000 * _GRID) / _GRID
