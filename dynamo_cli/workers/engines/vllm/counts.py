"""How loaded the engine is: what of it we know ourselves, and what its scheduler says each step."""

from __future__ import annotations

from typing import Any, NamedTuple

from dynamo_cli.protocol.load import WorkerLoad


class Transfer(NamedTuple):
    tokens: int = 0
    bytes: int = 0
    seconds: float = 0.0


class Transferred:
    """KV that came from prefill workers. vLLM counts it a step, not a request: sums are exact, shares may not be."""

    def __init__(self) -> None:
        self._untaken = Transfer()

    def record(self, scheduler_stats: Any, iteration_stats: Any) -> None:
        told = getattr(scheduler_stats, "kv_connector_stats", None) or {}
        prompts = getattr(iteration_stats, "prompt_token_stats", None)
        tokens = getattr(prompts, "external_kv_transfer", 0)
        if tokens or told:
            before = self._untaken
            self._untaken = Transfer(
                before.tokens + tokens,
                before.bytes + sum(told.get("bytes_transferred", ())),
                before.seconds + sum(told.get("transfer_duration", ())),
            )

    def take(self) -> Transfer:
        """What nobody has taken yet."""
        taken, self._untaken = self._untaken, Transfer()
        return taken


class Counts:
    """vLLM's schedulers say nothing once they are idle, so what they said last counts only while there is a sequence.

    `total_blocks`: of all ranks.
    """

    def __init__(self) -> None:
        self.total_blocks = 0
        self.transferred = Transferred()
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
