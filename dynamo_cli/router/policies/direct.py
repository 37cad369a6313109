from __future__ import annotations

from collections.abc import Mapping, Sequence

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.router.policies.base import Policy


class Direct(Policy):
    """Never chooses: the caller names the instance of every request. Raises InvalidRequest when it did not."""

    def pick(self, candidates: Sequence[int], inflight: Mapping[int, int]) -> int:
        raise InvalidRequest(
            "router mode direct: name the worker in nvext.backend_instance_id or the header x-worker-instance-id",
            "nvext.backend_instance_id",
        )
