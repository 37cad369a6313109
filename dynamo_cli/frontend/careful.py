"""A choice that is read token by token: for logprobs, an echoed prompt, or stop strings that are special."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dynamo_cli.frontend.alignment import Alignment
from dynamo_cli.frontend.answer import Answer
from dynamo_cli.frontend.choice import Choice
from dynamo_cli.protocol.engine import UNKNOWN_LOGPROB, Delta, EngineRequest, TokenLogprob
from dynamo_cli.text.detokenizer import Detokenizer
from dynamo_cli.text.stops import StopStrings


@dataclass(frozen=True)
class Care:
    """`echo`: what is shown before the answer. `stops_after`: so many tokens hold no stop string.

    `shows_stop`: the stop string ends the text instead of being cut off.
    """

    echo: str = ""
    stops_after: int = 0
    shows_stop: bool = False


class CarefulChoice(Choice):
    """`alignment` is None without logprobs; what it releases goes to the answer's form before the text does."""

    def __init__(
        self,
        answer: Answer,
        index: int,
        request: EngineRequest,
        detokenizer: Detokenizer | None,
        stops: StopStrings | None,
        care: Care,
        alignment: Alignment | None,
    ) -> None:
        super().__init__(answer, index, request, detokenizer, stops)
        self._echo = care.echo
        self._stops_after = care.stops_after
        self._shows_stop = care.shows_stop
        self._alignment = alignment

    def _take(self, deltas: list[Delta]) -> None:
        last = deltas[-1]
        reason = last.finish_reason
        if reason == "error" or reason == "cancelled":
            self._gave_up(last)
            return
        shown, self._echo = [self._echo], ""
        before = self.usage.completion_tokens
        for text in self._texts(deltas, final=reason is not None):
            visible, matched = self._until_stop(text)
            shown.append(visible)
            if matched is not None:
                reason = "stop"
                break
        else:
            if reason is not None and self._stops is not None:
                shown.append(self._stops.flush())
        text = "".join(shown)
        tokens = self.usage.completion_tokens - before
        if self._alignment is not None:
            self._tell(self._alignment, len(text), last=reason is not None)
        if reason is None:
            self._answer.advance(self, text, tokens)
        else:
            self._end(text, tokens, reason, last.usage)

    def _texts(self, deltas: list[Delta], final: bool) -> Iterator[str]:
        """What each token adds to the text, counted in the usage; then what the end adds."""
        detokenizer, alignment = self._detokenizer, self._alignment
        if detokenizer is None:
            yield from (delta.text for delta in deltas)
            return
        for delta in deltas:
            for at, token in enumerate(delta.token_ids):
                text = detokenizer.push([token])
                self.usage.completion_tokens += 1
                if alignment is not None:
                    alignment.add(_logprob_of(delta, at), len(text))
                yield text
        if final:
            text = detokenizer.flush()
            if alignment is not None:
                alignment.complete(len(text))
            yield text

    def _until_stop(self, text: str) -> tuple[str, str | None]:
        if self._stops is None or (self._stops_after and self.usage.completion_tokens <= self._stops_after):
            return text, None
        shown, matched = self._stops.push(text)
        return (shown + matched if matched and self._shows_stop else shown), matched

    def _tell(self, alignment: Alignment, letters: int, last: bool) -> None:
        entries = alignment.release(letters, last)
        if entries:
            self._answer.form.note(self.index, entries)


def _logprob_of(delta: Delta, at: int) -> TokenLogprob:
    """What the engine says of the token, or that it says nothing."""
    known = delta.logprobs
    if known is not None and at < len(known):
        return known[at]
    return TokenLogprob(delta.token_ids[at], UNKNOWN_LOGPROB)
