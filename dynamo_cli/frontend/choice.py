"""One generated sequence: from the worker's deltas to text and a finish reason."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import TYPE_CHECKING

from dynamo_cli.errors import DynamoError, EngineFailed, StreamIncomplete
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage
from dynamo_cli.text.detokenizer import Detokenizer
from dynamo_cli.text.stops import StopStrings

if TYPE_CHECKING:
    from dynamo_cli.frontend.answer import Answer
    from dynamo_cli.routing.flight import Flight
    from dynamo_cli.routing.legs import Leg, Prefilled

_log = logging.getLogger(__name__)


class Choice:
    """The sink of one request on the plane. Reports to its answer once per event-loop pass.

    `detokenizer` is None for workers that answer in text. A choice of a `patient` answer is not read before it is
    complete, unless something has to watch for a stop string. `first_at`: when its worker first answered, of
    time.perf_counter; 0 before. `reason`: why it is complete, empty before.
    """

    def __init__(
        self,
        answer: Answer,
        index: int,
        request: EngineRequest,
        detokenizer: Detokenizer | None,
        stops: StopStrings | None,
    ) -> None:
        self.index = index
        self.request = request
        self.flight: Flight | None = None
        self.first_at = 0.0
        self.reason = ""
        self.usage = EngineUsage(len(request.token_ids), 0)
        self._answer = answer
        self._detokenizer = detokenizer
        self._stops = stops
        self._lazy = stops is None and answer.patient
        self._pending: list[Delta] = []
        self._error: DynamoError | None = None
        self._marked = False
        self._over = False
        self._instance = 0
        self._kv_hit_rate: float | None = None
        self._legs: tuple[Leg, ...] = ()
        self._prefilled: Prefilled | None = None

    @property
    def instance_id(self) -> int:
        """Who serves it, or served it last."""
        return self._instance if self.flight is None else self.flight.instance_id

    @property
    def kv_hit_rate(self) -> float | None:
        """The share of its prompt that the router thought to be at that worker; None when it does not know."""
        return self._kv_hit_rate if self.flight is None else self.flight.kv_hit_rate

    @property
    def legs(self) -> tuple[Leg, ...]:
        """The workers it was sent to, in order."""
        return self._legs if self.flight is None else self.flight.legs

    @property
    def prefilled(self) -> Prefilled | None:
        """What a prefill worker did for it; None when none did."""
        return self._prefilled if self.flight is None else self.flight.prefilled

    def cancel(self) -> None:
        """Hear no more; the worker is told to stop. Idempotent."""
        self._over = True
        flight = self._let_go()
        if flight is not None:
            flight.cancel()

    def _let_go(self) -> Flight | None:
        flight, self.flight = self.flight, None
        if flight is not None:
            self._instance = flight.instance_id
            self._kv_hit_rate = flight.kv_hit_rate
            self._legs = flight.legs
            self._prefilled = flight.prefilled
        return flight

    # StreamSink

    def on_frame(self, deltas: list[Delta]) -> None:
        if self._over:
            return
        if cached := deltas[0].cached_tokens:
            self.usage.cached_tokens = min(cached, self.usage.prompt_tokens)
        if self._pending:
            self._pending += deltas
        else:
            self._pending = deltas
            if not self.first_at:
                self.first_at = perf_counter()
            if self._lazy and deltas[-1].finish_reason is None:
                self._answer.begun(deltas)
        if not self._lazy or deltas[-1].finish_reason is not None:
            self._mark()

    def on_end(self) -> None:
        self.on_error(StreamIncomplete("the worker ended the answer without a finish reason"))

    def on_error(self, error: DynamoError) -> None:
        self._let_go()
        if not self._over:
            self._error = error
            self._mark()

    def forget(self) -> bool:
        """Drop what has come, if none of it was read."""
        if self._marked or not self._lazy:
            return False
        self._pending = []
        return True

    def _mark(self) -> None:
        if not self._marked:
            self._marked = True
            self._answer.flusher.mark(self)

    # Flushable

    def flush(self) -> None:
        """Turn what has come into text and hand it to the answer."""
        self._marked = False
        if self._over:
            return
        deltas, self._pending = self._pending, []
        if deltas:
            self._answer.reading = perf_counter()
            try:
                self._take(deltas)
            except Exception:
                _log.exception("what a worker answered cannot be told")
                self._fail(EngineFailed("the answer of the worker cannot be told"))
        if self._error is not None and not self._over:
            self._fail(self._error)

    def _take(self, deltas: list[Delta]) -> None:
        last = deltas[-1]
        reason = last.finish_reason
        if reason == "error" or reason == "cancelled":
            self._gave_up(last)
            return
        ids = last.token_ids if len(deltas) == 1 else [token for delta in deltas for token in delta.token_ids]
        text = self._text(ids, deltas, final=reason is not None)
        usage = self.usage
        usage.completion_tokens += len(ids)
        if self._stops is not None:
            text, matched = self._stops.push(text)
            if matched is not None:
                self._end(text, len(ids), "stop", last.usage)
                return
        if reason is None:
            self._answer.advance(self, text, len(ids))
        else:
            self._end(text + (self._stops.flush() if self._stops else ""), len(ids), reason, last.usage)

    def _text(self, ids: list[int], deltas: list[Delta], final: bool) -> str:
        if self._detokenizer is None:
            return deltas[0].text if len(deltas) == 1 else "".join([delta.text for delta in deltas])
        text = self._detokenizer.push(ids) if ids else ""
        return text + self._detokenizer.flush() if final else text

    def _end(self, text: str, tokens: int, reason: str, counted: EngineUsage | None) -> None:
        """`counted`: the engine's own figures; without them (cut by a stop string) ours count."""
        self.reason = reason
        self._over = True
        flight = self._let_go()
        if counted is not None:
            self.usage = counted
        elif self._prefilled is not None:
            self.usage.cached_tokens = max(self.usage.cached_tokens, self._prefilled.cached_tokens)
        if counted is None and flight is not None:
            flight.cancel()
        self._answer.advance(self, text, tokens, reason)

    def _gave_up(self, last: Delta) -> None:
        if last.finish_reason == "error":
            self._fail(EngineFailed(last.text or "the engine failed on this request"))
        else:
            self._fail(StreamIncomplete("the worker gave the request up"))

    def _fail(self, error: DynamoError) -> None:
        self.cancel()
        self._answer.fail(error)
