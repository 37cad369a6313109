"""What router mode kv has done."""

from __future__ import annotations

from dynamo_cli.protocol.kv import KvEvent, Removed, Stored
from dynamo_cli.runtime.histogram import Histogram

_SHARES = tuple(step / 20 for step in range(21))


class Routed:
    """To one worker: requests, their prompt tokens, and those of them that were thought to be there."""

    __slots__ = ("found_tokens", "prompt_tokens", "requests")

    def __init__(self) -> None:
        self.requests = self.prompt_tokens = self.found_tokens = 0


NOTHING = Routed()


class KvCounts:
    """`routed_to`: by worker, as long as it is there. `hit_rate`: the share of a prompt thought to be at the worker it
    went to. `selected` tokens were thought to be there, `best` at the candidate that had the most; `missed` requests
    went elsewhere. `applied`: events by kind.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.routed_to: dict[int, Routed] = {}
        self.hit_rate = Histogram(_SHARES)
        self.selected_tokens = 0
        self.best_tokens = 0
        self.missed = 0
        self.applied = {"stored": 0, "removed": 0, "cleared": 0}

    def routed(self, worker: int, tokens: int, selected_tokens: int, best_tokens: int) -> None:
        self.requests += 1
        routed = self.routed_to.get(worker)
        if routed is None:
            routed = self.routed_to[worker] = Routed()
        routed.requests += 1
        routed.prompt_tokens += tokens
        routed.found_tokens += selected_tokens
        self.hit_rate.observe(selected_tokens / tokens if tokens else 0.0)
        if best_tokens:
            self.selected_tokens += selected_tokens
            self.best_tokens += best_tokens
            self.missed += best_tokens > selected_tokens

    def left(self, worker: int) -> None:
        self.routed_to.pop(worker, None)

    def heard(self, events: list[KvEvent]) -> bool:
        """Whether there was one that tells of blocks."""
        blocks = False
        for event in events:
            if isinstance(event, Stored):
                self.applied["stored"] += 1
                blocks = True
            else:
                self.applied["removed" if isinstance(event, Removed) else "cleared"] += 1
        return blocks
