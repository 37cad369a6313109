"""How far a figure could be off: what it would have been had other requests of the same kind been drawn.

Each function gives DRAWS values of a figure under resampling; `interval` makes 95 % of the difference of two of them.
Efron and Tibshirani, An Introduction to the Bootstrap (1993), is the source where none is named.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from dynamo_cli.bench.report.spread import percentile

DRAWS = 1000
MOST_GROUPS = 500
CONFIDENCE = 95


def interval(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """The ends of the 95 % interval of b - a, from draws of each."""
    differences = sorted(later - earlier for earlier, later in zip(a, b, strict=True))
    tail = (100 - CONFIDENCE) / 2
    return percentile(differences, tail), percentile(differences, 100 - tail)


def means(rng: Random, values: Sequence[float]) -> list[float]:
    """Of the mean. Many values are drawn in MOST_GROUPS random groups of equal size, whose means vary alike."""
    shuffled = rng.sample(values, len(values))
    count = min(MOST_GROUPS, len(values))
    size = len(values) // count
    groups = [math.fsum(shuffled[at * size : (at + 1) * size]) / size for at in range(count)]
    return [sum(rng.choices(groups, k=count)) / count for _ in range(DRAWS)]


def percentiles(rng: Random, ordered: Sequence[float], percent: float) -> list[float]:
    """Of a percentile of independent sorted values.

    Exact without drawing all of them: the k-th smallest of n uniform draws has the Beta(k, n + 1 - k) distribution,
    and so the place in `ordered` of a resample's k-th smallest is n times that (David and Nagaraja, Order Statistics).
    """
    count = len(ordered)
    position = (count - 1) * percent / 100
    below = math.floor(position)
    return [_order_statistics(rng, ordered, below, position - below) for _ in range(DRAWS)]


def _order_statistics(rng: Random, ordered: Sequence[float], below: int, part: float) -> float:
    """`part` of the way from a resample's value of rank `below` (from 0) to its next."""
    count = len(ordered)
    place = rng.betavariate(below + 1, count - below)
    value = ordered[min(count - 1, int(count * place))]
    if not part:
        return value
    place += (1 - place) * (1 - rng.random() ** (1 / (count - below - 1)))
    return value + (ordered[min(count - 1, int(count * place))] - value) * part


def clustered_percentiles(rng: Random, clusters: Sequence[Sequence[float]], percent: float) -> list[float]:
    """Of a percentile of all values, where those of one cluster go together, as the gaps of one answer do.

    The share of values below the percentile varies between clusters; that variation, linearised, moves the percentile
    (Woodruff 1952, Confidence Intervals for Medians and Other Position Measures).
    """
    ordered = sorted(value for cluster in clusters for value in cluster)
    share = percent / 100
    at = percentile(ordered, percent)
    excesses = (sum(value <= at for value in cluster) - share * len(cluster) for cluster in clusters)
    error = math.sqrt(math.fsum(excess * excess for excess in excesses)) / len(ordered)
    shares = (min(1.0, max(0.0, rng.gauss(share, error))) for _ in range(DRAWS))
    return [percentile(ordered, drawn * 100) for drawn in shares]


def shares(rng: Random, hits: int, count: int) -> list[float]:
    """Of a share of `count` requests, by Jeffreys' prior: none of a hundred does not mean never."""
    return [rng.betavariate(hits + 0.5, count - hits + 0.5) for _ in range(DRAWS)]
