"""How long a step of a GPU engine takes, fitted to a real one."""

from __future__ import annotations

from dataclasses import dataclass


def prefill_ms(tokens: int) -> float:
    """Milliseconds to prefill `tokens` new prompt tokens in one batch; 0 for none."""
    return 4.209989e-07 * tokens * tokens + 1.518344e-02 * tokens + 16.50142 if tokens else 0.0


def decode_ms(occupancy: float) -> float:
    """Milliseconds of a decode step when that share (0..1) of the KV cache is active."""
    return max(1.0, -25.74 * occupancy * occupancy + 54.01 * occupancy + 5.74)


@dataclass(frozen=True)
class StepClock:
    """`speedup` divides all times, `decode_speedup` decoding further; 0 means no delay."""

    speedup: float = 1.0
    decode_speedup: float = 1.0

    def seconds(self, prefill_tokens: int, decoding: bool, occupancy: float) -> float:
        if not self.speedup:
            return 0.0
        total = prefill_ms(prefill_tokens)
        if decoding and self.decode_speedup:
            total += decode_ms(occupancy) / self.decode_speedup
        return total / self.speedup / 1000
