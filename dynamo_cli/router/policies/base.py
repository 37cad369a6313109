"""The contract of a routing policy: pure deciding, the clock passed in, no sockets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import msgspec

from dynamo_cli.router.index.tiers import NOTHING, Overlaps

_NONE: Mapping[int, int] = {}
_NO_LEVELS: Mapping[int, float] = {}


class Overrides(msgspec.Struct, frozen=True):
    """What one request wants otherwise than the policy's options say; None leaves an option alone."""

    overlap_credit: float | None = None
    temperature: float | None = None


class RoutingRequest(msgspec.Struct, frozen=True):
    """What there is to know about a request.

    `hashes`: chained, of the prompt's full blocks; `tokens`: of the whole prompt; `expected_output`: tokens, 0
    unknown; `priority`: seconds a request may jump ahead, `strict_priority`: a higher one always goes first.
    """

    hashes: Sequence[int] = ()
    tokens: int = 0
    request_id: str = ""
    session: str = ""
    priority: float = 0.0
    strict_priority: int = 0
    expected_output: int = 0
    overrides: Overrides | None = None

    def wants(self, overlap_credit: float, temperature: float) -> tuple[float, float]:
        """Credit and temperature, where the request does not want them otherwise than a policy's options say."""
        own = self.overrides
        if own is None:
            return overlap_credit, temperature
        return (
            overlap_credit if own.overlap_credit is None else own.overlap_credit,
            temperature if own.temperature is None else own.temperature,
        )


ANY = RoutingRequest()


class Decision(NamedTuple):
    """`overlap_blocks`: of the prompt, already there; `costs`: one for each candidate, if the policy weighs costs."""

    worker: int
    overlap_blocks: int = 0
    costs: Sequence[float] | None = None


class State(msgspec.Struct):
    """What a policy may look at, by worker; who is absent has none.

    `inflight`: requests. `prefill_tokens`: prompt tokens still to be computed. `blocks`: in use by prompts, each once;
    `generated`: by answers. `predicted`: the request's first blocks that requests in flight have; `stored`: those that
    the caches have. `recent`: what was computed lately, `recent_unit` being one prompt token of now.
    """

    inflight: Mapping[int, int] = _NONE
    prefill_tokens: Mapping[int, int] = _NONE
    blocks: Mapping[int, int] = _NONE
    generated: Mapping[int, float] = _NO_LEVELS
    predicted: Mapping[int, int] = _NONE
    stored: Overlaps = NOTHING
    recent: Mapping[int, float] = _NO_LEVELS
    recent_unit: float = 1.0
    block_size: int = 1


class Policy(ABC):
    """Chooses one of the instances that may serve a request."""

    looks_at_blocks: ClassVar[bool] = False

    @abstractmethod
    def decide(self, request: RoutingRequest, candidates: Sequence[int], state: State, now: float) -> Decision:
        """Choose one of `candidates` (instance ids, never empty, any order); `now` is in seconds of any clock."""
