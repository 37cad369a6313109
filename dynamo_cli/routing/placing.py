"""Where the dispatcher asks which of the workers that could take a request is to have it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.router.policies import Policy
from dynamo_cli.router.policies.base import ANY, State
from dynamo_cli.router.weighed import Weighed
from dynamo_cli.routing.hints import RoutingHints
from dynamo_cli.routing.registry import RoutedModel


class Placed(Protocol):
    """What a request occupies at its worker. `kv_hit_rate`: the share of its prompt thought to be there, if known.

    `weighed`: what the choice was made of, if it was weighed at all.
    """

    @property
    def kv_hit_rate(self) -> float | None: ...

    @property
    def weighed(self) -> Weighed | None: ...

    def heard(self, tokens: int) -> bool:
        """A frame of its answer has come, after `tokens` others; False: the next ones need not be told."""

    def over(self) -> None:
        """It has ended there, however. Idempotent."""


class Placer(ABC):
    """Of one model. `inflight` counts the requests of this process by instance id; the dispatcher keeps it."""

    def __init__(self, model: RoutedModel) -> None:
        self.model = model
        self.inflight: dict[int, int] = {}

    @abstractmethod
    def place(
        self,
        request: EngineRequest,
        request_id: str,
        candidates: Sequence[int],
        bound: int | None,
        hints: RoutingHints,
    ) -> tuple[int, Placed]:
        """Choose one of `candidates` (never empty) and count the request there at once.

        `bound`: the one of them that it has to be. A request that is placed again has moved. Raises InvalidRequest
        when the policy wants an instance named.
        """

    def workers_changed(self) -> None:  # noqa: B027
        """The model has other workers, or workers again."""


class PolicyPlacer(Placer):
    """By a policy that looks at requests in flight alone."""

    def __init__(self, model: RoutedModel, policy: Policy) -> None:
        super().__init__(model)
        self._policy = policy
        self._state = State(self.inflight)

    def place(
        self, request: EngineRequest, request_id: str, candidates: Sequence[int], bound: int | None, hints: RoutingHints
    ) -> tuple[int, Placed]:
        worker = self._policy.decide(ANY, candidates, self._state, 0.0).worker if bound is None else bound
        model, tokens = self.model, len(request.token_ids)
        computes = 0 if request.handover is not None else tokens
        return worker, model.loads.book(worker, tokens, model.block_size, computes)
