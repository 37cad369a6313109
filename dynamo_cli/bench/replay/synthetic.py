"""Made traces: what recorded ones lack, and sizes that none has."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from itertools import count

from dynamo_cli.bench.traces.request import TracedRequest

BLOCK = 512


def uniform(requests: int, rate: float, seed: int = 0) -> Iterator[TracedRequest]:
    """No two prompts share anything. `rate`: requests a second, Poisson; prompts of 0.5 to 32 k tokens."""
    chance, names, now = random.Random(f"uniform {seed}"), count(), 0.0
    for _ in range(requests):
        now += chance.expovariate(rate)
        tokens = int(512 * 64 ** chance.random())
        blocks = [next(names) for _ in range(-(-tokens // BLOCK))]
        yield TracedRequest(now, tokens, chance.randint(50, 400), blocks, BLOCK)


def conversations(requests: int, rate: float, seed: int = 0, prompts: int = 20) -> Iterator[TracedRequest]:
    """Several turns each, that go on after a pause; each begins with one of `prompts` system prompts.

    All system prompts begin with the same block. `rate`: requests a second in all.
    """
    chance, names = random.Random(f"conversations {seed}"), count(1)
    systems = [[0, *(next(names) for _ in range(chance.randint(1, 8)))] for _ in range(prompts)]
    turns = 6.0
    begins, waiting = 0.0, list[tuple[float, int, list[int]]]()
    for number in range(requests):
        if not waiting or begins <= waiting[0][0]:
            now, blocks = begins, chance.choice(systems)
            begins += chance.expovariate(rate / turns)
        else:
            now, _, blocks = heapq.heappop(waiting)
        blocks = blocks + [next(names) for _ in range(chance.randint(1, 6))]
        tokens = len(blocks) * BLOCK - chance.randint(0, BLOCK - 1)
        yield TracedRequest(now, tokens, chance.randint(50, 400), blocks, BLOCK)
        if chance.random() < 1 - 1 / turns:
            # Its last block goes on with the answer, and so gets another name.
            heapq.heappush(waiting, (now + chance.expovariate(1 / 60), number, blocks[:-1]))
