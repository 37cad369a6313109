"""Made-up conversations: unique prompts, one same prompt, prefixes shared by groups, several turns."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from dynamo_cli.bench.work.conversation import Conversation, Turn
from dynamo_cli.bench.work.prompts import length, parts, words

CACHED_PREFIXES = 256


@dataclass(frozen=True)
class Shape:
    """Lengths in words of a turn's prompt and in tokens of its answer, with their standard deviations.

    `same`: one prompt for all. `prefix`: words before the first prompt, of which there are `groups` different ones.
    """

    isl: int = 50
    isl_stddev: float = 0.0
    osl: int = 64
    osl_stddev: float = 0.0
    same: bool = False
    prefix: int = 0
    groups: int = 1
    turns: int = 1
    seed: int = 0

    def conversation(self, number: int) -> Conversation:
        """The same for the same seed and number, whatever else is made. Warm-up has negative numbers."""
        return Conversation(number, self._turns(number), self.turns)

    def _turns(self, number: int) -> Iterator[Turn]:
        rng = random.Random(f"{self.seed} {0 if self.same else number}")
        group = rng.randrange(self.groups)
        for turn in range(self.turns):
            yield self._turn(rng, group if turn == 0 and self.prefix else None)

    def _turn(self, rng: random.Random, group: int | None) -> Turn:
        isl, osl = length(rng, self.isl, self.isl_stddev), length(rng, self.osl, self.osl_stddev)
        return Turn(self._parts(rng, isl, group), osl)

    def _parts(self, rng: random.Random, isl: int, group: int | None) -> Iterator[str]:
        if group is not None:
            yield _prefix(self.seed, group, self.prefix)
        yield from parts(rng, isl)


@lru_cache(CACHED_PREFIXES)
def _prefix(seed: int, group: int, count: int) -> str:
    return words(random.Random(f"{seed} prefix {group}"), count)
