"""The HTTP side of a request: its choices become one response, streamed or whole."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from time import perf_counter

import msgspec

from dynamo_cli.errors import DeadlineExceeded, DynamoError, InvalidRequest
from dynamo_cli.frontend.choice import Choice
from dynamo_cli.frontend.flush import Flusher
from dynamo_cli.frontend.formats import DONE, EVENT_END, Form, Format, Usage
from dynamo_cli.frontend.metrics.counts import Tracker, error_type
from dynamo_cli.frontend.record import Record
from dynamo_cli.protocol.engine import Delta
from dynamo_cli.runtime.http.exchange import COMMENT, Exchange

log = logging.getLogger(__name__)


class Answer(ABC):
    """Choices report here. The answer is over when all are complete, one fails, or the client goes away.

    A `patient` one needs nothing before a choice is complete. Of `per_prompt` choices in a row the prompt counts once.
    `guided_by`: the field that says what form the text must have. `reading`: since when (time.perf_counter) a choice
    makes text of its tokens.
    """

    patient: bool
    per_prompt = 1
    guided_by: str | None = None
    paused = False
    _at_end: tuple[Callable[[], None], ...] = ()
    reading = 0.0
    record: Record | None = None

    def __init__(self, exchange: Exchange, form: Form, tracker: Tracker, flusher: Flusher) -> None:
        self.flusher = flusher
        self.choices: list[Choice] = []
        self.form = form
        self._exchange = exchange
        self._tracker = tracker
        self._left = 0
        exchange.on_disconnect = self._client_left
        exchange.on_pause = self._pause
        exchange.on_resume = self._resume

    def at_end(self, callback: Callable[[], None]) -> None:
        """Call it once the answer is over."""
        self._at_end += (callback,)

    def add(self, choice: Choice) -> None:
        self.choices.append(choice)
        self._left += 1

    def begun(self, deltas: list[Delta]) -> None:
        """A choice has its first tokens, which it reads later."""
        self._tracker.begun(sum([len(delta.token_ids) for delta in deltas]))

    def advance(self, choice: Choice, text: str, tokens: int, reason: str | None = None) -> None:
        """A choice has new text; with a reason it is complete."""
        self._tracker.tokens(tokens, self.reading)
        if reason is not None:
            self._left -= 1
        self._show(choice, text, reason)

    def fail(self, error: DynamoError) -> None:
        """End the answer with an error: a status as long as nothing was sent, an event after that."""
        trail = None if self.record is None else self.record.trail
        if self._end(error_type(error.status)):
            if self.guided_by is not None and isinstance(error, InvalidRequest):
                # All else was checked before it was sent.
                error = InvalidRequest(f"{self.guided_by}: {error}", self.guided_by)
            log.debug("request %s failed: %s", self.form.id, error, extra={"trail": trail})
            if self._exchange.started:
                self._exchange.finish(self.form.error(error) + DONE)
            else:
                self._exchange.send_error(error)

    def expire(self) -> None:
        """The client waits no longer."""
        self.fail(DeadlineExceeded("the answer was not complete in the time that the client gave it"))

    def abandon(self, error: Exception) -> None:
        """Someone else answers with this error."""
        self._end(error_type(getattr(error, "status", 500)))

    @abstractmethod
    def _show(self, choice: Choice, text: str, reason: str | None) -> None: ...

    def _usage(self) -> Usage:
        """So far."""
        usage = Usage()
        for at, choice in enumerate(self.choices):
            usage.completion += choice.usage.completion_tokens
            if not at % self.per_prompt:
                usage.prompt += choice.usage.prompt_tokens
                usage.cached += choice.usage.cached_tokens
        return usage

    def _complete(self) -> Usage:
        usage = self._usage()
        self._tracker.lengths(usage.prompt, usage.completion, usage.cached)
        self._end(usage=usage)
        return usage

    def _end(self, problem: str = "", usage: Usage | None = None) -> bool:
        """Stop every choice that still runs; False when the answer was over already."""
        if self._tracker is None:
            return False
        for choice in self.choices:
            choice.cancel()
        if self.record is not None:
            self.record.close(self.choices, self._usage() if usage is None else usage, problem)
            self.record = None  # it has our choices, and nothing should wait for the collector
        self.choices = []
        self._tracker.finished(problem)
        self._tracker = None  # type: ignore[assignment]
        for callback in self._at_end:
            callback()
        self._at_end = ()
        return True

    def _client_left(self) -> None:
        self._end("cancelled")

    def _pause(self) -> None:
        self.paused = True
        for choice in self.choices:
            if choice.flight is not None:
                choice.flight.pause()

    def _resume(self) -> None:
        self.paused = False
        for choice in self.choices:
            if choice.flight is not None:
                choice.flight.resume()


class StreamedAnswer(Answer):
    """Server-sent events; the first token leaves at once, with the head.

    `prologue`: events before the first one. `counting`: every event has the usage so far. `quiet` counts looks of who
    keeps the stream alive since its last event; the first comment does not come before `peek_s`.
    """

    form: Format
    patient = False
    prologue = b""
    counting = False
    quiet = 0
    peek_s = 0.0

    def __init__(
        self, exchange: Exchange, form: Format, tracker: Tracker, flusher: Flusher, include_usage: bool
    ) -> None:
        super().__init__(exchange, form, tracker, flusher)
        self._include_usage = include_usage
        self._begun: set[int] = set()

    def _show(self, choice: Choice, text: str, reason: str | None) -> None:
        form, index = self.form, choice.index
        if form.begins_together and not self._begun and len(self.choices) > 1:
            self._begin_together()
        if index not in self._begun:
            self._begun.add(index)
            events = form.first(index, text)
        elif text:
            events = form.more(index, text)
        elif reason is None:
            return
        else:
            events = b""
        if reason is not None:
            events += form.finish(index, reason)
        events = self._counted(events)
        if not self._left:
            usage = self._complete()
            events += form.usage(usage) + DONE if self._include_usage else DONE
        self._send(events, last=not self._left)

    def _begin_together(self) -> None:
        self._begun.update([choice.index for choice in self.choices])
        self._send(self._counted(b"".join([self.form.begin(choice.index) for choice in self.choices])), last=False)

    def _counted(self, events: bytes) -> bytes:
        if not self.counting:
            return events
        return events.replace(EVENT_END, b',"usage":%b}\n\n' % msgspec.json.encode(self._usage().as_dict()))

    def fell_silent(self, seconds: float) -> None:
        """Say that there is more to come."""
        self.quiet = 0
        if self._exchange.started:
            self._exchange.nudge()
        elif perf_counter() - self._tracker.start >= self.peek_s:
            self._exchange.start(self.prologue + COMMENT)

    def _send(self, events: bytes, last: bool) -> None:
        exchange = self._exchange
        self.quiet = 0
        if not exchange.started:
            exchange.start(self.prologue + events if self.prologue else events, last)
        elif last:
            exchange.finish(events)
        else:
            exchange.write(events)


class WholeAnswer(Answer):
    """One JSON body when everything is there."""

    patient = True

    def __init__(self, exchange: Exchange, form: Form, tracker: Tracker, flusher: Flusher) -> None:
        super().__init__(exchange, form, tracker, flusher)
        self._texts: dict[int, str] = {}
        self._reasons: dict[int, str] = {}

    def _show(self, choice: Choice, text: str, reason: str | None) -> None:
        index = choice.index
        self._texts[index] = self._texts.get(index, "") + text
        if reason is None:
            return
        self._reasons[index] = reason
        if not self._left:
            usage = self._complete()
            choices = [self.form.choice(at, self._texts[at], self._reasons[at]) for at in sorted(self._reasons)]
            self._send(self.form.whole(choices, usage))

    def _send(self, body: bytes) -> None:
        self._exchange.send(200, body)
