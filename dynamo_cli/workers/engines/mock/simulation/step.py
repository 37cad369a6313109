"""What a forward pass did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence as Many
from dataclasses import dataclass

from dynamo_cli.workers.engines.mock.simulation.sequence import Sequence


@dataclass(slots=True)
class Step:
    """One pass, or several equal ones in a row that give nothing but tokens. Known when it ends.

    `ends_at` is on the caller's clock; each of the `passes` takes `seconds` and gives every one of the `decoding`
    sequences that had a token before another one.
    """

    ends_at: float
    seconds: float
    decoding: int
    passes: int = 1
    prefill_tokens: int = 0
    began: Many[Sequence] = ()
    """Those whose prompt is complete and whose first token is there."""
    resumed: Many[tuple[Sequence, float]] = ()
    """Those that had been preempted and have another token, and the seconds since the one before."""
    finished: Many[Sequence] = ()
    """Those that have all their tokens."""
    preempted: Many[Sequence] = ()


class TokenGaps:
    """The distribution of the seconds between two tokens of a sequence, over all tokens of the steps added."""

    def __init__(self) -> None:
        self.weights: Counter[float] = Counter()

    def add(self, step: Step) -> None:
        if step.decoding:
            self.weights[step.seconds] += step.passes * step.decoding
        for _, gap in step.resumed:
            self.weights[gap] += 1

    @property
    def count(self) -> int:
        return sum(self.weights.values())

    def mean(self) -> float:
        """0 without any gap."""
        return sum(gap * weight for gap, weight in self.weights.items()) / max(1, self.count)

    def quantile(self, share: float) -> float:
        """The smallest gap that at least this share (0..1) of all do not exceed; 0 without any."""
        wanted, seen = share * self.count, 0
        for gap in sorted(self.weights):
            seen += self.weights[gap]
            if seen >= wanted:
                return gap
        return 0.0
