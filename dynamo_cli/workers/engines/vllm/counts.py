"""How loaded the engine is: what of it we know ourselves, and what its scheduler says each step."""

from __future__ import annotations

from typing import Any

from dynamo_cli.protocol.load import WorkerLoad


class Counts:
    """vLLM's schedulers say nothing once they are idle, so what they said last counts only while there is a sequence.

    `total_blocks`: of all ranks.
    """

    def __init__(self) -> None:
        self.total_blocks = 0
        self._sequences = 0
        self._prefilling = 0
        self._ranks: dict[int, tuple[int, float]] = {}

    def begin(self, prompt_tokens: int) -> None:
        self._sequences += 1
        self._prefilling += prompt_tokens

    def prefilled(self, prompt_tokens: int) -> None:
        self._prefilling -= prompt_tokens

    def end(self) -> None:
        self._sequences -= 1

    def record(self, scheduler_stats: Any, rank: int = 0) -> None:
        """`rank`: of data-parallel engines, which of them."""
        waiting = scheduler_stats.num_waiting_reqs + getattr(scheduler_stats, "num_skipped_waiting_reqs", 0)
        self._ranks[rank] = waiting, scheduler_stats.kv_cache_usage

    def load(self) -> WorkerLoad:
        if not self._sequences:
            return WorkerLoad(total_blocks=self.total_blocks)
        ranks = self._ranks.values()
        waiting = min(sum(waiting for waiting, _ in ranks), self._sequences)
        usage = sum(usage for _, usage in ranks) / max(1, len(ranks))
        return WorkerLoad(
            active_decode_blocks=round(usage * self.total_blocks),
            total_blocks=self.total_blocks,
            active_prefill_tokens=self._prefilling,
            running=self._sequences - waiting,
            waiting=waiting,
        )
