"""The contract of a routing policy: pure deciding, no clock, no sockets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence


class Policy(ABC):
    """Chooses one of the instances that may serve a request."""

    @abstractmethod
    def pick(self, candidates: Sequence[int], inflight: Mapping[int, int]) -> int:
        """Return one of `candidates` (instance ids, never empty, any order).

        `inflight` counts the requests each instance is serving now; an absent instance serves none.
        """
