"""vLLM's outputs of one sequence -> deltas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from dynamo_cli.errors import EngineFailed, TransferFailed
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage, FinishReason, TokenLogprob
from dynamo_cli.workers.engines.vllm.counts import Transfer, Transferred
from dynamo_cli.workers.engines.vllm.handing import left_behind

_FINISHED: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "abort": "cancelled",
    "repetition": "stop",
}


class Output:
    """`begun`: there is output; `finished`: the last delta has been made.

    `transferred`: what comes from prefill workers is counted there.
    """

    __slots__ = (
        "_alternatives",
        "_cached",
        "_expands",
        "_fetched",
        "_fetches",
        "_generated",
        "_prefills",
        "_prompt",
        "_transferred",
        "begun",
        "finished",
    )

    def __init__(self, request: EngineRequest, transferred: Transferred) -> None:
        self.finished = self.begun = False
        self._prefills = request.prefill_only
        self._fetches = request.handover is not None
        self._fetched = Transfer()
        self._transferred = transferred
        self._prompt = len(request.token_ids)
        self._expands = bool(request.media)  # images and the like take more tokens than their places in the prompt
        self._alternatives = request.output.logprobs
        self._generated = 0
        self._cached = 0

    def take(self, found: Any) -> Delta:
        """`found`: a RequestOutput with the tokens since the last one.

        Raises EngineFailed, and TransferFailed when the KV that another worker left does not come.
        """
        self.begun = True
        (made,) = found.outputs
        ids, reason = made.token_ids, made.finish_reason
        self._cached = found.num_cached_tokens or 0
        if self._expands and found.prompt_token_ids is not None:
            self._prompt = len(found.prompt_token_ids)
        if self._prefills:
            return self._kept(found, reason)
        fetched = None
        if self._fetches and ids:
            self._fetches, self._fetched = False, self._transferred.take()
            fetched = self._fetched
        if reason is None:
            cached = 0 if self._generated else self._cached
            self._generated += len(ids)
            if self._alternatives is None:
                return Delta(ids, cached_tokens=cached, fetched=fetched)
            return Delta(ids, logprobs=self._logprobs(ids, made.logprobs), cached_tokens=cached, fetched=fetched)
        if reason == "stop" and ids:
            # Nothing else stops it: stop strings are not vLLM's business here.
            ids = ids[:-1]
        if reason == "error" and self._fetches:
            raise TransferFailed("vLLM got no KV from the prefill worker; its log says why")
        if reason not in _FINISHED:
            raise EngineFailed(f"vLLM ended the sequence with {reason!r}; its log says why")
        self._generated += len(ids)
        logprobs = None if self._alternatives is None else self._logprobs(ids, made.logprobs)
        return self.last(_FINISHED[reason], ids, logprobs)

    def last(self, finish: FinishReason, ids: list[int] | None = None, logprobs: Any = None) -> Delta:
        self.finished = True
        usage = EngineUsage(self._prompt, self._generated, self._cached, *self._fetched)
        return Delta(ids or [], finish, logprobs=logprobs, usage=usage)

    def _kept(self, found: Any, reason: str | None) -> Delta:
        """The token is dropped: the decode worker computes it from the last position of the prompt."""
        if reason == "abort":
            return self.last("cancelled")
        if reason != "length":
            raise EngineFailed(f"vLLM ended a prefill with {reason!r}; its log says why")
        return replace(self.last("length"), handover=left_behind(found))

    def _logprobs(self, ids: list[int], found: Iterable[Mapping[int, Any]] | None) -> list[TokenLogprob]:
        return [self._logprob(token, candidates) for token, candidates in zip(ids, found or (), strict=False)]

    def _logprob(self, token: int, candidates: Mapping[int, Any]) -> TokenLogprob:
        """vLLM adds the chosen token to the likeliest ones when it is none of them."""
        ranked = sorted(candidates.items(), key=lambda one: one[1].rank)
        top = [(id, one.logprob) for id, one in ranked[: self._alternatives]]
        return TokenLogprob(token, candidates[token].logprob, top)
