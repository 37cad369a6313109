"""How far a figure of a run could be off by chance: the method of batch means.

Requests of one run are not independent: those in flight together wait for each other. So a run is cut into batches of
what happened together, and the batches are taken as independent; Law, Simulation Modeling and Analysis, chapter 9. Each
function gives DRAWS values that the figure might have had, from Student's t distribution over the batches; `interval`
makes 95 % of the difference of two of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from random import Random

from dynamo_cli.bench.report.spread import percentile

DRAWS = 2000
CONFIDENCE = 95


def interval(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """The ends of the 95 % interval of b - a, from draws of each."""
    differences = sorted(later - earlier for earlier, later in zip(a, b, strict=True))
    tail = (100 - CONFIDENCE) / 2
    return percentile(differences, tail), percentile(differences, 100 - tail)


def mean_draws(rng: Random, means: Sequence[float]) -> list[float]:
    """Of the mean, from the mean of each batch; all batches are of one size."""
    freedom = len(means) - 1
    mean = math.fsum(means) / len(means)
    error = math.sqrt(math.fsum((batch - mean) ** 2 for batch in means) / freedom / len(means))
    return [mean + error * t for t in _students_t(rng, freedom)]


def percentile_draws(rng: Random, batches: Sequence[Sequence[float]], percent: float) -> list[float]:
    """Of a percentile of all values.

    How much the share of values below the percentile varies between batches, linearised, says how far the percentile
    may move; Woodruff 1952, Confidence Intervals for Medians and Other Position Measures.
    """
    ordered = sorted(value for batch in batches for value in batch)
    share = percent / 100
    at = percentile(ordered, percent)
    excesses = (sum(value <= at for value in batch) - share * len(batch) for batch in batches)
    correction = len(batches) / (len(batches) - 1)
    error = math.sqrt(correction * math.fsum(excess * excess for excess in excesses)) / len(ordered)
    shares = (share + error * t for t in _students_t(rng, len(batches) - 1))
    return [percentile(ordered, min(1.0, max(0.0, drawn)) * 100) for drawn in shares]


def share_draws(rng: Random, hits: int, count: int) -> list[float]:
    """Of a share of `count` requests, by Jeffreys' prior: none of a hundred does not mean never."""
    return [rng.betavariate(hits + 0.5, count - hits + 0.5) for _ in range(DRAWS)]


def _students_t(rng: Random, freedom: int) -> Iterator[float]:
    """A normal value over the root of a chi-squared one by its degrees of freedom."""
    for _ in range(DRAWS):
        yield rng.gauss(0, 1) / math.sqrt(rng.gammavariate(freedom / 2, 2 / freedom))
