"""When a sequence is over, for engines that leave that to us."""

from __future__ import annotations

from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage, FinishReason
from dynamo_cli.text.stops import StopStrings


class Ending:
    """Lets deltas through until a stop condition of `request` is met; then `finish` says which.

    A delta with text counts as one token. A stop token or string is not part of the answer.
    """

    def __init__(self, request: EngineRequest, prompt_tokens: int) -> None:
        stop = request.stop
        self.finish: FinishReason | None = None
        self._most = stop.max_tokens
        self._least = stop.min_tokens
        self._stop_ids = frozenset(stop.stop_token_ids)
        self._strings = StopStrings(stop.stop)
        self._usage = EngineUsage(prompt_tokens, 0)

    def take(self, delta: Delta) -> Delta | None:
        """What of it belongs to the answer, None when nothing does."""
        usage = self._usage
        cached = delta.cached_tokens
        if delta.usage is not None:
            usage.prompt_tokens, cached = delta.usage.prompt_tokens, delta.usage.cached_tokens
        usage.cached_tokens = cached or usage.cached_tokens
        taken = Delta(self._tokens(delta.token_ids), text=self._text(delta.text), cached_tokens=cached)
        if delta.logprobs is not None:
            taken.logprobs = delta.logprobs[: len(taken.token_ids)]
        if self.finish is None:
            self.finish = delta.finish_reason
        return taken if taken.token_ids or taken.text else None

    def last(self, finish: FinishReason) -> Delta:
        held = "" if finish == "cancelled" else self._strings.flush()
        return Delta(finish_reason=finish, text=held, usage=self._usage)

    def _tokens(self, token_ids: list[int]) -> list[int]:
        for at, token in enumerate(token_ids):
            if token in self._stop_ids and self._usage.completion_tokens >= self._least:
                self.finish = "stop"
                return token_ids[:at]
            if self._counts_up():
                return token_ids[: at + 1]
        return token_ids

    def _text(self, text: str) -> str:
        if not text:
            return ""
        shown, stop = self._strings.push(text)
        if stop is not None:
            self.finish = "stop"
        elif self._counts_up():
            shown += self._strings.flush()
        return shown

    def _counts_up(self) -> bool:
        """Whether this was the last one there may be."""
        self._usage.completion_tokens += 1
        if self._usage.completion_tokens != self._most:
            return False
        self.finish = "length"
        return True
