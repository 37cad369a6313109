"""What the deciding half of routing costs, in this process: no server, no engine.

    python -m dynamo_cli.bench.router [--runs N] [--quick] [--json] [ROW...]

A decision is the whole of it: hash the prompt's blocks, look them up, choose, keep what it was made of, count the
request as active, hear of its first token and of its end. Times are CPU times.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from itertools import count, cycle, islice

from dynamo_cli.bench.budgets.arguments import row_parser, wanted_rows
from dynamo_cli.bench.budgets.result import Result, as_json, as_table
from dynamo_cli.bench.budgets.rows import Row
from dynamo_cli.errors import DynamoError
from dynamo_cli.protocol.kv import Removed, Stored, block_hashes
from dynamo_cli.router.core import KvRouter
from dynamo_cli.router.index import ApproximateIndex, BlockIndex
from dynamo_cli.router.policies import make_policy
from dynamo_cli.router.policies.base import RoutingRequest

BLOCK_SIZE = 16
LONG = 8192
BATCH = 32
KNOWN = 1_000_000

SHORT_8 = Row("short-8", "decision for 62 tokens, 8 workers", "ms", 0.05)
SHORT_64 = Row("short-64", "decision for 62 tokens, 64 workers", "ms", 0.12)
LONG_64 = Row("long-64", "decision for 8,192 tokens, 64 workers, 1,000,000 known blocks", "ms", 0.3)
GUESS_64 = Row("guess-64", "the same without events, guessing what workers hold", "ms", 0.5)
LOOKUP = Row("lookup", "lookup of 512 blocks, 64 workers, 1,000,000 known blocks", "ms", 0.015)
STORED = Row("stored", "1,000,000 blocks stored, in events of 32", "CPU-s", 5.0)
REMOVED = Row("removed", "1,000,000 blocks removed, in events of 32", "CPU-s", 5.0)
MEMORY = Row("memory", "memory for a known block", "B", 150.0, once=True)
ROWS = (SHORT_8, SHORT_64, LONG_64, GUESS_64, LOOKUP, STORED, REMOVED, MEMORY)

Measure = Callable[[], float]


class Cluster:
    """A router whose workers hold `known` blocks: long prompts, of which every two hundredth shares a quarter."""

    def __init__(self, workers: int, known: int, *, policy: str = "kv", guess: bool = False) -> None:
        rng = random.Random(1)
        index = ApproximateIndex() if guess else None
        self.router = KvRouter(make_policy(policy, rng), block_size=BLOCK_SIZE, guess=index)
        self.workers = list(range(1, workers + 1))
        for worker in self.workers:
            self.router.add_worker(worker)
        self.prompts = [chain for _, chain in zip(range(known // 512), chains(rng), strict=False)]
        for chain in self.prompts:
            worker = rng.choice(self.workers)
            if index is not None:
                index.routed(worker, chain, 0.0)
            else:
                for event in events(chain):
                    self.router.apply(worker, event)
        self._ids = count()

    def decide(self, tokens: list[int]) -> None:
        router, request_id = self.router, str(next(self._ids))
        request = RoutingRequest(block_hashes(tokens, BLOCK_SIZE), len(tokens), request_id)
        decision = router.decide(request, self.workers, 1.0)
        router.weighed(request, self.workers, decision)
        router.record(request, decision, 1.0)
        router.first_token(request_id, 1.0)
        router.free(request_id, 1.0)

    def warm(self, tokens: list[int]) -> None:
        """Let some worker hold the first three quarters of a prompt."""
        hashes = block_hashes(tokens, BLOCK_SIZE)
        for event in events(hashes[: len(hashes) * 3 // 4]):
            self.router.apply(self.workers[0], event)


def chains(rng: random.Random) -> Iterator[list[int]]:
    """Chained hashes of prompts of 512 blocks."""
    shared = [[rng.getrandbits(64) for _ in range(128)] for _ in range(200)]
    while True:
        for first in shared:
            yield first + [rng.getrandbits(64) for _ in range(384)]


def events(chain: Sequence[int]) -> Iterator[Stored]:
    return (Stored(list(chain[at : at + BATCH])) for at in range(0, len(chain), BATCH))


def prompts(number: int, tokens: int) -> list[list[int]]:
    rng = random.Random(2)
    return [[rng.randrange(150_000) for _ in range(tokens)] for _ in range(number)]


def per_call_ms(call: Callable[[list[int]], object], arguments: Sequence[list[int]], times: int) -> float:
    started = time.process_time()
    for argument in islice(cycle(arguments), times):
        call(argument)
    return (time.process_time() - started) / times * 1000


class Measures:
    """`scale` shrinks the work of a run for a quick look."""

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._known: Cluster | None = None

    def of(self, row: Row) -> Measure:
        """Prepare what a row needs; calling the result is one run."""
        if row in (SHORT_8, SHORT_64):
            cluster, short = Cluster(8 if row is SHORT_8 else 64, 0), prompts(200, 62)
            return lambda: per_call_ms(cluster.decide, short, self._scaled(20_000))
        if row in (LONG_64, GUESS_64):
            cluster = self._large() if row is LONG_64 else Cluster(64, self._scaled(KNOWN), guess=True)
            long = prompts(50, LONG)
            for prompt in long:
                cluster.warm(prompt)
            return lambda: per_call_ms(cluster.decide, long, self._scaled(2_000))
        if row is LOOKUP:
            cluster = self._large()
            copies = [[int(str(block)) for block in chain] for chain in cluster.prompts[::5]]
            return lambda: per_call_ms(cluster.router.index.device.overlaps, copies, self._scaled(5_000))
        if row is MEMORY:
            return self._memory
        return lambda: self._events(remove=row is REMOVED)

    def _large(self) -> Cluster:
        if self._known is None:
            self._known = Cluster(64, self._scaled(KNOWN))
        return self._known

    def _events(self, *, remove: bool) -> float:
        """CPU seconds for a million blocks."""
        cluster = Cluster(64, 0)
        router, blocks = cluster.router, self._scaled(KNOWN)
        told = [
            (worker, event)
            for worker, chain in zip(cycle(cluster.workers), islice(chains(random.Random(3)), blocks // 512))
            for event in events(chain)
        ]
        started = time.process_time()
        for worker, event in told:
            router.apply(worker, event)
        if remove:
            gone = [(worker, Removed(event.hashes[::-1])) for worker, event in reversed(told)]
            started = time.process_time()
            for worker, removed in gone:
                router.apply(worker, removed)
        return (time.process_time() - started) / (len(told) * BATCH) * 1e6

    def _memory(self) -> float:
        """Bytes a block, its own name included; every prompt is at one worker."""
        index, rng = BlockIndex(), random.Random(4)
        tracemalloc.start()
        for number in range(self._scaled(400)):
            chain = [rng.getrandbits(64) for _ in range(512)]
            for event in events(chain):
                index.stored(number % 64, event.hashes)
            del chain, event
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return used / len(index)

    def _scaled(self, number: int) -> int:
        return max(512, round(number * self._scale)) if self._scale < 1 else number


def measure(wanted: Sequence[str], runs: int, scale: float) -> Iterator[Result]:
    """Row by row, as they are measured."""
    measures = Measures(scale)
    for row in ROWS:
        if row.name in wanted:
            once = measures.of(row)
            each = [once() for _ in range(1 if row.once else runs)]
            shown = [round(one, 5) for one in each]
            median = round(statistics.median(each), 5)
            yield Result(row=row.name, what=row.what, unit=row.unit, budget=row.budget, measured=median, runs=shown)


def main(argv: Sequence[str] | None = None) -> int:
    """A table, or JSON, on stdout and the progress on stderr; 0 also when a budget is not met: it measures."""
    arguments = row_parser("make bench-router", "Measure what a routing decision costs.").parse_args(argv)
    try:
        wanted = wanted_rows(arguments.rows, ROWS)
    except DynamoError as error:
        sys.stderr.write(f"dynamo: {error}\n")
        return error.exit_code
    results = []
    runs, scale = (1, 0.05) if arguments.quick else (max(1, arguments.runs), 1.0)
    for result in measure(wanted, runs, scale):
        sys.stderr.write(f"{result.row}: {result.measured:g} {result.unit} (budget {result.budget:g})\n")
        results.append(result)
    sys.stdout.write(as_json(results) if arguments.json else as_table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
