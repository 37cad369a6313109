"""llama.cpp's stream of events -> deltas of one sequence."""

from __future__ import annotations

from dynamo_cli.errors import EngineFailed, InvalidRequest
from dynamo_cli.protocol.engine import (
    UNKNOWN_LOGPROB,
    Delta,
    EngineRequest,
    EngineUsage,
    FinishReason,
    TokenLogprob,
)
from dynamo_cli.protocol.handover import Handover
from dynamo_cli.workers.engines.llamacpp.client import Event, TokenProbability
from dynamo_cli.workers.engines.llamacpp.handing_over import Transferred
from dynamo_cli.workers.engines.llamacpp.heldback import HeldBack


class Output:
    """Collects one request's tokens over one or more streams; `finish` is set when a stream has ended.

    `transferred`: what of the prompt's KV came from another worker. `handover`: where it waits for another one.
    """

    def __init__(self, request: EngineRequest, held_back: HeldBack, end_ids: frozenset[int], *, as_text: bool) -> None:
        self.finish: FinishReason | None = None
        self.transferred: Transferred | None = None
        self.handover: Handover | None = None
        self._as_text = as_text
        self._held_back = held_back
        self._alternatives = request.output.logprobs
        self._stops = (frozenset() if request.stop.ignore_eos else end_ids) | frozenset(request.stop.stop_token_ids)
        self._least = request.stop.min_tokens
        self._ids: list[int] = []
        self._predicted = 0
        self._swallowed = 0
        self._prompt_tokens = len(request.token_ids)
        self._cached = 0
        self._begun = False
        self._prefill_only = request.prefill_only

    @property
    def tokens(self) -> list[int]:
        """Those that the caller has gained."""
        return self._ids

    def begin(self, prompt: list[int] | str) -> list[int] | str:
        """A new stream starts; returns its prompt: the request's, continued by what there is."""
        self.finish = None
        self._predicted = 0
        return prompt if isinstance(prompt, str) else prompt + self._ids

    def take(self, found: list[Event]) -> Delta | None:
        """What the caller gains by these events; None for nothing. Raises what llama.cpp reports."""
        ids: list[int] = []
        texts: list[str] = []
        logprobs: list[TokenLogprob] = []
        for event in found:
            if event.error is not None:
                raise _reported(event.error.code, event.error.message)
            if event.prompt_progress is not None:
                if self._predicted == 0 and not self._ids:
                    self._cached = event.prompt_progress.cache
                continue
            if event.stop:
                self._end(event)
                texts.append(event.content)
                break
            new = self._new_ids(event)
            if new and new[-1] in self._stops and len(self._ids) + len(ids) >= self._least:
                self.finish = "stop"
                ids += new[:-1]
                if self._alternatives is not None:
                    logprobs += self._logprobs(new[:-1], [])
                break
            ids += new
            texts.append(event.content)
            if self._alternatives is not None:
                logprobs += self._logprobs(new, event.completion_probabilities)
        return self._delta(ids, "".join(texts), logprobs)

    def last(self, finish: FinishReason) -> Delta:
        generated = self._predicted if self._as_text else len(self._ids) + self._swallowed
        if self._prefill_only:
            generated, finish = 0, "length" if self.handover is not None else "cancelled"
        usage = EngineUsage(self._prompt_tokens, generated, self._cached, *(self.transferred or ()))
        return Delta(finish_reason=finish, usage=usage, handover=self.handover)

    def _new_ids(self, event: Event) -> list[int]:
        gained = event.tokens_predicted - self._predicted
        self._predicted = event.tokens_predicted
        if gained > len(event.tokens) == 1 and not self._as_text:
            return list(self._held_back.tokens(event.content, gained, event.tokens[0]))
        return event.tokens

    def _end(self, event: Event) -> None:
        self.finish = "length" if event.stop_type == "limit" else "stop"
        if self.finish == "length":
            # Tokens of a character that the limit cut off never come.
            self._swallowed = max(0, event.tokens_predicted - self._predicted)
        self._predicted = event.tokens_predicted
        self._prompt_tokens = self._prompt_tokens or event.tokens_evaluated

    def _delta(self, ids: list[int], text: str, logprobs: list[TokenLogprob]) -> Delta | None:
        if not (text if self._as_text else ids):
            return None
        self._ids += ids
        cached, fetched = (0, None) if self._begun else (self._cached, self.transferred)
        self._begun = True
        if self._as_text:
            return Delta(text=text, cached_tokens=cached)
        told = None if self._alternatives is None else logprobs
        return Delta(ids, logprobs=told, cached_tokens=cached, fetched=fetched)

    def _logprobs(self, ids: list[int], found: list[TokenProbability]) -> list[TokenLogprob]:
        """One for each id. llama.cpp tells only those of tokens it sends: not of the first parts of a character."""
        unknown = [TokenLogprob(token, UNKNOWN_LOGPROB) for token in ids[: len(ids) - len(found)]]
        return unknown + [self._logprob(one) for one in found]

    def _logprob(self, found: TokenProbability) -> TokenLogprob:
        top = [(other.id, other.logprob) for other in found.top_logprobs[: self._alternatives]]
        return TokenLogprob(found.id, found.logprob, top)


def _reported(code: int, message: str) -> InvalidRequest | EngineFailed:
    return InvalidRequest(message) if code == 400 else EngineFailed(f"llama.cpp: {message}")
