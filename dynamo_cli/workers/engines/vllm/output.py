"""vLLM's outputs of one sequence -> deltas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dynamo_cli.errors import EngineFailed
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage, FinishReason, TokenLogprob

_FINISHED: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "abort": "cancelled",
    "repetition": "stop",
}


class Output:
    """`begun`: there is output; `finished`: the last delta has been made."""

    __slots__ = ("_alternatives", "_cached", "_expands", "_generated", "_prompt", "begun", "finished")

    def __init__(self, request: EngineRequest) -> None:
        self.finished = self.begun = False
        self._prompt = len(request.token_ids)
        self._expands = bool(request.media)  # images and the like take more tokens than their places in the prompt
        self._alternatives = request.output.logprobs
        self._generated = 0
        self._cached = 0

    def take(self, found: Any) -> Delta:
        """`found`: a RequestOutput with the tokens since the last one. Raises EngineFailed."""
        self.begun = True
        (made,) = found.outputs
        ids, reason = made.token_ids, made.finish_reason
        self._cached = found.num_cached_tokens or 0
        if self._expands and found.prompt_token_ids is not None:
            self._prompt = len(found.prompt_token_ids)
        if reason is None:
            self._generated += len(ids)
            if self._alternatives is None:
                return Delta(ids)
            return Delta(ids, logprobs=self._logprobs(ids, made.logprobs))
        if reason == "stop" and ids:
            # Nothing else stops it: stop strings are not vLLM's business here.
            ids = ids[:-1]
        if reason not in _FINISHED:
            raise EngineFailed(f"vLLM ended the sequence with {reason!r}; its log says why")
        self._generated += len(ids)
        logprobs = None if self._alternatives is None else self._logprobs(ids, made.logprobs)
        return self.last(_FINISHED[reason], ids, logprobs)

    def last(self, finish: FinishReason, ids: list[int] | None = None, logprobs: Any = None) -> Delta:
        self.finished = True
        return Delta(
            ids or [], finish, logprobs=logprobs, usage=EngineUsage(self._prompt, self._generated, self._cached)
        )

    def _logprobs(self, ids: list[int], found: Iterable[Mapping[int, Any]] | None) -> list[TokenLogprob]:
        return [self._logprob(token, candidates) for token, candidates in zip(ids, found or (), strict=False)]

    def _logprob(self, token: int, candidates: Mapping[int, Any]) -> TokenLogprob:
        """vLLM adds the chosen token to the likeliest ones when it is none of them."""
        ranked = sorted(candidates.items(), key=lambda one: one[1].rank)
        top = [(id, one.logprob) for id, one in ranked[: self._alternatives]]
        return TokenLogprob(token, candidates[token].logprob, top)
