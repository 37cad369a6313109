"""What a prefill worker is asked, and what follows when it or the transfer fails. Pure."""

from __future__ import annotations

import random

from msgspec.structs import replace

from dynamo_cli.errors import Cancelled, DeadlineExceeded, DynamoError, InvalidRequest, Overloaded
from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.protocol.instance import ModelCard

MOST_TRANSFERS = 2
"""So many hand-overs of one prompt may fail before it is computed where it is decoded."""
_OWN_FAULT = (InvalidRequest, Overloaded, DeadlineExceeded, Cancelled)


def prefill_request(request: EngineRequest) -> EngineRequest:
    """The same prompt, to be computed and kept."""
    stop = replace(request.stop, max_tokens=1, min_tokens=0)
    return replace(request, prefill_only=True, handover=None, stop=stop)


def letting_go(model: str, handover: Handover) -> EngineRequest:
    """Tells a prefill worker that nobody will fetch what it keeps."""
    return EngineRequest(model, let_go=handover)


def bootstrap_handover(card: ModelCard, rng: random.Random) -> Handover | None:
    """What both workers of a request are told beforehand; None when that worker hands over what it has computed."""
    if not card.bootstrap_port:
        return None
    place = {"bootstrap_host": card.bootstrap_host, "bootstrap_port": card.bootstrap_port}
    return Handover(card.engine, {**place, "bootstrap_room": rng.getrandbits(63)})


def may_recompute(error: DynamoError) -> bool:
    """Whether a decode worker could do what the prefill worker could not: not when the request itself is at fault."""
    return not isinstance(error, _OWN_FAULT)
