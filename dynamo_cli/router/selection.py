"""From costs to a choice."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import accumulate
from math import exp


def cheapest(costs: Sequence[float], rng: random.Random) -> int:
    """The place of the lowest cost; equal ones are equally likely."""
    least = min(costs)
    ties = costs.count(least)
    place = costs.index(least)
    if ties > 1:
        for _ in range(int(rng.random() * ties)):
            place = costs.index(least, place + 1)
    return place


def drawn(costs: Sequence[float], temperature: float, rng: random.Random) -> int:
    """A place drawn by softmax: costs scaled to 0..1, weights exp(-cost / temperature); 0 is the cheapest."""
    if temperature <= 0:
        return cheapest(costs, rng)
    least, most = min(costs), max(costs)
    if most == least:
        return int(rng.random() * len(costs))
    spread = most - least  # divided by first: its product with a tiny temperature may be 0
    sums = list(accumulate(exp((least - cost) / spread / temperature) for cost in costs))
    point = rng.random() * sums[-1]
    return next((place for place, total in enumerate(sums) if point < total), len(costs) - 1)
