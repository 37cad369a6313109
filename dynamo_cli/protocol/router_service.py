"""What a router process is asked: by frontends, for which it decides, and by others, whom it tells what it knows.

Its endpoints are `<namespace>.router.` and one of the names here, as the reference calls them. Block hashes are those
of protocol/kv.py; workers are instance ids.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from dynamo_cli.protocol.kv import KvEvent
from dynamo_cli.protocol.openai import MOST_WEIGHT
from dynamo_cli.protocol.sequences import SequenceEvent

ROUTER = "router"
BEST_WORKER = "best_worker_id"
"""RoutingQuestion -> one Advice."""
OVERLAP_SCORES = "get_overlap_scores"
"""RoutingQuestion -> one OverlapScore for each candidate."""
POTENTIAL_LOADS = "get_potential_loads"
"""RoutingQuestion -> one PotentialLoad for each candidate."""
DUMP_EVENTS = "dump_events"
"""DumpQuestion -> any number of WorkerBlocks, then of Sequences."""

Natural = Annotated[int, msgspec.Meta(ge=0)]
Weight = Annotated[float, msgspec.Meta(ge=0)]
Credit = Annotated[float, msgspec.Meta(ge=0, le=MOST_WEIGHT)]


class RoutingQuestion(msgspec.Struct, omit_defaults=True, frozen=True, kw_only=True):
    """A prompt that somebody wants to send to a worker of `model`.

    The prompt is `token_ids`, or, for who has hashed it already, its number of `tokens` and the chained `hashes` of its
    full blocks of `block_size`, which must be that of the model's workers. `candidates`: who could take it, none means
    all that are there. `session`, `expected_output` (tokens, 0 unknown), `overlap_credit` and `temperature` as in
    routing/hints.py.

    `record`: it will be sent to the answer, and counts there from now on. The router named `router` then has to say so
    soon on the event plane, as SequenceAdded with the same `request_id`; otherwise it is taken for given up.
    """

    model: str
    token_ids: list[Natural] | None = None
    tokens: Natural = 0
    hashes: list[Natural] = []
    block_size: Natural = 0
    candidates: list[int] = []
    session: str = ""
    expected_output: Natural = 0
    overlap_credit: Credit | None = None
    temperature: Weight | None = None
    router: str = ""
    request_id: str = ""
    record: bool = False


class Advice(msgspec.Struct, omit_defaults=True, frozen=True):
    """`overlap_blocks`: of the prompt, at that worker. `costs`: of each candidate, where nothing was recorded and the
    policy weighs costs."""

    worker: int
    overlap_blocks: int = 0
    costs: dict[int, float] = {}


class OverlapScore(msgspec.Struct, frozen=True):
    """Blocks of the prompt at a worker: `device` from the first one, stored or on their way; `host` goes on where that
    ends, `disk` where host ends."""

    worker: int
    device: int
    host: int = 0
    disk: int = 0


class PotentialLoad(msgspec.Struct, frozen=True):
    """What a worker would have with this request too: prompt tokens still to be computed, blocks in use, requests."""

    worker: int
    prefill_tokens: int
    decode_blocks: int
    requests: int


class DumpQuestion(msgspec.Struct, omit_defaults=True, frozen=True):
    """`model` "" is all of them."""

    model: str = ""


class WorkerBlocks(msgspec.Struct, tag="blocks", frozen=True):
    """Some of what a worker holds, as events that build it from nothing."""

    model: str
    worker: int
    events: list[KvEvent]


class Sequences(msgspec.Struct, tag="sequences", frozen=True):
    """Some of the requests in flight, as events that build them from nothing."""

    model: str
    events: list[SequenceEvent]


Dumped = WorkerBlocks | Sequences
