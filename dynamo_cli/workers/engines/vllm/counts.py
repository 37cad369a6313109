"""How loaded the engine is: what of it we know ourselves, and what its scheduler says each step."""

from __future__ import annotations

from typing import Any

from dynamo_cli.protocol.load import WorkerLoad


class Counts:
    """vLLM's scheduler says nothing once it is idle, so whatever it said last counts only while there is a sequence."""

    def __init__(self) -> None:
        self.total_blocks = 0
        self._sequences = 0
        self._prefilling = 0
        self._waiting = 0
        self._usage = 0.0

    def begin(self, prompt_tokens: int) -> None:
        self._sequences += 1
        self._prefilling += prompt_tokens

    def prefilled(self, prompt_tokens: int) -> None:
        self._prefilling -= prompt_tokens

    def end(self) -> None:
        self._sequences -= 1

    def record(self, scheduler_stats: Any) -> None:
        self._waiting = scheduler_stats.num_waiting_reqs + getattr(scheduler_stats, "num_skipped_waiting_reqs", 0)
        self._usage = scheduler_stats.kv_cache_usage

    def load(self) -> WorkerLoad:
        if not self._sequences:
            return WorkerLoad(total_blocks=self.total_blocks)
        waiting = min(self._waiting, self._sequences)
        return WorkerLoad(
            active_decode_blocks=round(self._usage * self.total_blocks),
            total_blocks=self.total_blocks,
            active_prefill_tokens=self._prefilling,
            running=self._sequences - waiting,
            waiting=waiting,
        )
