"""What routers tell each other about the requests they have sent, so that each knows the load of all."""

from __future__ import annotations

import msgspec


class SequenceAdded(msgspec.Struct, tag="added", array_like=True, frozen=True):
    """A request went to a worker. `hashes`: chained, of its full blocks; `overlap_blocks`: those not to be computed.

    `session` is what the client calls the conversation, if it does.
    """

    router: str
    request_id: str
    worker: int
    hashes: list[int]
    tokens: int
    overlap_blocks: int = 0
    expected_output: int = 0
    session: str = ""


class PrefillCompleted(msgspec.Struct, tag="prefilled", array_like=True, frozen=True):
    """The first token of a request has come."""

    router: str
    request_id: str


class SequenceFreed(msgspec.Struct, tag="freed", array_like=True, frozen=True):
    """A request has ended, however."""

    router: str
    request_id: str


SequenceEvent = SequenceAdded | PrefillCompleted | SequenceFreed

SEQUENCES_PLACE = "dynamo", "router"
SEQUENCES_TOPIC = "sequences"
"""Where they tell it on the event plane: one place for the whole deployment, as a router may serve many namespaces."""


class SequenceNews(msgspec.Struct, array_like=True, frozen=True):
    """What a router has to say of one model's requests, in order."""

    model: str
    events: list[SequenceEvent]
