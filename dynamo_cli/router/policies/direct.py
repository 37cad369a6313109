from __future__ import annotations

from collections.abc import Sequence

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.router.policies.base import Decision, Policy, RoutingRequest, State


class Direct(Policy):
    """Never chooses: the caller names the instance of every request. Raises InvalidRequest when it did not."""

    def decide(self, request: RoutingRequest, candidates: Sequence[int], state: State, now: float) -> Decision:
        raise InvalidRequest(
            "router mode direct: name the worker in nvext.backend_instance_id or the header x-worker-instance-id",
            "nvext.backend_instance_id",
        )
