"""Prompts of a wanted length without a tokenizer: one common English word is about one token."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache

WORDS = (
    "the of and to in is you that it he was for on are as with his they at be this have from or one had by word but "
    "not what all were we when your can said there use an each which she do how their if will up other about out many "
    "then them these so some her would make like him into time has look two more write go see number no way could "
    "people my than first water been call who oil its now find long down day did get come made may part"
).split()
PART_WORDS = 512
PHRASE_WORDS = 16
PHRASES = 1024


def words(rng: random.Random, count: int) -> str:
    """`count` random words. Long texts continue with prepared phrases: drawing 8,000 words would hold up the load."""
    if count < 4 * PHRASE_WORDS:
        return " ".join(rng.choices(WORDS, k=count))
    head = PHRASE_WORDS + count % PHRASE_WORDS
    return " ".join(rng.choices(WORDS, k=head) + rng.choices(_phrases(), k=(count - head) // PHRASE_WORDS))


def parts(rng: random.Random, count: int) -> Iterator[str]:
    """A text of `count` words in parts that are each made in a few microseconds."""
    for start in range(0, count, PART_WORDS):
        yield words(rng, min(PART_WORDS, count - start))


def length(rng: random.Random, mean: int, stddev: float) -> int:
    """Normally distributed, at least 1."""
    return max(1, round(rng.gauss(mean, stddev))) if stddev else mean


@cache
def _phrases() -> list[str]:
    rng = random.Random("phrases")
    return [" ".join(rng.choices(WORDS, k=PHRASE_WORDS)) for _ in range(PHRASES)]
