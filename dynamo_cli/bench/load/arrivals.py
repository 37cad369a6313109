"""When the requests of an open loop are due, in seconds since its start. Pure: no clock."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator

ARRIVALS = ("poisson", "constant", "gamma")


def due_times(
    arrivals: str, rate: float, *, burstiness: float = 1.0, ramp_s: float = 0.0, rng: random.Random
) -> Iterator[float]:
    """Without end. `rate` per second, rising to it linearly from 0 within `ramp_s`.

    The gaps of a gamma process have the shape `burstiness`: 1 is Poisson, less is burstier, more is steadier.
    """
    gap = _gaps(arrivals, burstiness, rng)
    expected = 0.0 if arrivals == "constant" else gap()
    while True:
        yield _when(expected, rate, ramp_s)
        expected += gap()


def _gaps(arrivals: str, burstiness: float, rng: random.Random) -> Callable[[], float]:
    """Gaps with a mean of 1."""
    if arrivals == "constant":
        return lambda: 1.0
    if arrivals == "gamma":
        return lambda: rng.gammavariate(burstiness, 1.0 / burstiness)
    return lambda: rng.expovariate(1.0)


def _when(expected: float, rate: float, ramp_s: float) -> float:
    """The time by which `expected` requests have come: the integral of the rate, inverted."""
    within_ramp = rate * ramp_s / 2
    if expected < within_ramp:
        return math.sqrt(2 * expected * ramp_s / rate)
    return ramp_s / 2 + expected / rate
