"""A histogram as Prometheus tells it, what came to it in a while, and its quantiles. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple


class Buckets(NamedTuple):
    """`counts` of all that is at most each of the ascending `bounds`, of which the last is infinite."""

    bounds: tuple[float, ...] = ()
    counts: tuple[float, ...] = ()

    def since(self, before: Buckets) -> Buckets:
        """What came after `before`; all of it when that belongs to a process before this one."""
        if self.bounds != before.bounds:
            return self
        more = tuple(now - then for now, then in zip(self.counts, before.counts, strict=True))
        return self if min(more, default=0.0) < 0 else Buckets(self.bounds, more)

    def quantile(self, share: float) -> float | None:
        """As histogram_quantile of Prometheus: evenly spread within a bucket, None of nothing.

        What is above the last bound counts as that.
        https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
        """
        if not self.counts or self.counts[-1] <= 0 or not math.isinf(self.bounds[-1]):
            return None
        rank = share * self.counts[-1]
        at = next(at for at, count in enumerate(self.counts) if count >= rank and count > 0)
        if at == len(self.bounds) - 1:
            return self.bounds[-2] if at else None
        upper, below = self.bounds[at], self.counts[at - 1] if at else 0.0
        lower = self.bounds[at - 1] if at else min(0.0, upper)
        return lower + (upper - lower) * (rank - below) / (self.counts[at] - below)


def grown(before: float, now: float) -> float:
    """By how much a counter grew; one that is lower than it was has begun anew."""
    return now - before if now >= before else now
