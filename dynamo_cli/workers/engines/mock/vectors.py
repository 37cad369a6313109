"""Made-up embeddings: a pure function of the tokens."""

from __future__ import annotations

import math
from random import Random


def vector_of(state: int, size: int) -> list[float]:
    """`size` numbers of length 1 together; fewer are the first ones of more, stretched."""
    rng = Random(state)
    numbers = [rng.random() - 0.5 for _ in range(size)]
    length = math.hypot(*numbers) or 1.0
    return [number / length for number in numbers]
