"""What a decision was made of, kept for whoever asks later why it fell so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Standing(NamedTuple):
    """One candidate. `cost` is None when none was computed for it.

    `overlap_blocks`: of the prompt, on the device there; the others are of the requests in flight.
    """

    worker: int
    cost: float | None
    overlap_blocks: int
    prefill_tokens: int
    blocks: int
    requests: int


class Weighed(NamedTuple):
    """One decision, as cheaply as it can be kept. What has a value for each worker leaves out those that have none.

    `prompt_blocks`: full blocks of the prompt. `costs`: one for each candidate, or only that of the worker when its
    session had chosen it before. `device` and `predicted` as in State.
    """

    worker: int
    prompt_blocks: int
    candidates: Sequence[int]
    costs: Sequence[float] | None
    device: Mapping[int, int]
    predicted: Mapping[int, int]
    prefill_tokens: Mapping[int, int]
    blocks: Mapping[int, int]
    requests: Mapping[int, int]

    @property
    def bound(self) -> bool:
        """Whether the request's session had chosen before."""
        return self.costs is not None and len(self.costs) < len(self.candidates)

    def standings(self) -> list[Standing]:
        costs: dict[int, float] = {}
        if self.costs is not None:
            costs = dict(zip((self.worker,) if self.bound else self.candidates, self.costs, strict=True))
        return [
            Standing(
                one,
                costs.get(one),
                max(self.device.get(one, 0), self.predicted.get(one, 0)),
                self.prefill_tokens.get(one, 0),
                self.blocks.get(one, 0),
                self.requests.get(one, 0),
            )
            for one in self.candidates
        ]
