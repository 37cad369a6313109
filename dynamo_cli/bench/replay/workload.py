"""What a trace asks of a cluster: prompts as names of blocks, with their times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from dynamo_cli.bench.traces.request import TracedRequest
from dynamo_cli.errors import UsageError


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """`at` in seconds from the start. `blocks`: the trace's names of the prompt's blocks, each of a whole prefix.

    The first `full` of them are full; a last one may stand for fewer tokens, and no engine's cache keeps such a block.
    """

    number: int
    at: float
    prompt_tokens: int
    output_tokens: int
    blocks: list[int]
    full: int
    session: str = ""


@dataclass(frozen=True)
class ReplayWorkload:
    """`arrivals` in the order of their time; `unique_blocks` counts the different blocks of their prompts.

    Both counts are of the trace's blocks, as published figures are: with the partial ones, which are not found again.
    """

    arrivals: list[Arrival]
    block_size: int
    unique_blocks: int

    @property
    def asked_blocks(self) -> int:
        return sum(len(arrival.blocks) for arrival in self.arrivals)


def workload(requests: Iterable[TracedRequest], *, speed: float = 1.0, limit: int | None = None) -> ReplayWorkload:
    """The first `limit` requests, `speed` times as fast as they were recorded.

    Raises UsageError for a trace without requests or with blocks of several sizes.
    """
    arrivals: list[Arrival] = []
    sizes: set[int] = set()
    start = 0.0
    for number, request in enumerate(requests):
        if number == limit:
            break
        start = start if arrivals else request.timestamp_s
        sizes.add(request.block_size)
        at = (request.timestamp_s - start) / speed
        output, blocks = max(1, request.output_length), list(request.blocks)
        full = min(len(blocks), request.input_length // request.block_size)
        arrivals.append(Arrival(number, at, request.input_length, output, blocks, full, request.session))
    if not arrivals:
        raise UsageError("the trace has no requests")
    if len(sizes) > 1:
        raise UsageError(f"the trace has blocks of {' and '.join(map(str, sorted(sizes)))} tokens; replay one model's")
    unique = {block for arrival in arrivals for block in arrival.blocks}
    return ReplayWorkload(arrivals, sizes.pop(), len(unique))
