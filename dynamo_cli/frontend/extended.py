"""Answers that tell about themselves what `nvext.extra_fields` asked for: which worker, how long."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from dynamo_cli.frontend.answer import StreamedAnswer, WholeAnswer
from dynamo_cli.frontend.choice import Choice
from dynamo_cli.frontend.flush import Flusher
from dynamo_cli.frontend.formats import EVENT_END, Format
from dynamo_cli.frontend.metrics.counts import Tracker
from dynamo_cli.routing.legs import Prefilled
from dynamo_cli.routing.registry import RoutedModel
from dynamo_cli.runtime.http.exchange import Exchange

WORKER_ID, TIMING = "worker_id", "timing"
KNOWN = frozenset((WORKER_ID, TIMING))


class Extras:
    """The `nvext` of an answer. `started` is of time.perf_counter."""

    def __init__(self, fields: frozenset[str], model: RoutedModel, started: float) -> None:
        self.timed = TIMING in fields
        self._named = WORKER_ID in fields
        self._model = model
        self._started = started
        self._received_ms = round((time.time() - (time.perf_counter() - started)) * 1e3)
        self._first = 0.0
        self._kv_hit_rate: float | None = None
        self._prefilled: Prefilled | None = None
        self._transfer_s = 0.0
        self._workers: dict[int, dict[str, str]] = {}
        self._members: dict[int, bytes] = {}

    def note(self, choice: Choice) -> bytes:
        """Its worker has answered something; returns the JSON member that says so."""
        instance_id = choice.instance_id
        member = self._members.get(instance_id)
        if member is None:
            if self._kv_hit_rate is None:
                self._kv_hit_rate = choice.kv_hit_rate
            self._first = self._first or time.perf_counter()
            self._prefilled = self._prefilled or choice.prefilled
            worker = self._workers[instance_id] = self._describe(instance_id) | _prefill_worker(choice)
            member = self._members[instance_id] = _member({WORKER_ID: worker} if self._named else {})
        return member

    def ended(self, choice: Choice) -> None:
        """It is complete, and has been counted."""
        self._transfer_s += choice.usage.transfer_s

    def last_member(self, instance_id: int | None) -> bytes:
        """The one that ends what this worker answered; None: what all did, unnamed if there were several."""
        if instance_id is None and len(self._workers) == 1:
            instance_id = next(iter(self._workers))
        extras: dict[str, Any] = {}
        if self._named and instance_id is not None:
            extras[WORKER_ID] = self._workers[instance_id]
        if self.timed:
            extras[TIMING] = self._timing()
        return _member(extras)

    def _describe(self, instance_id: int) -> dict[str, str]:
        """The id as discovery writes it, and the supervisor's name of the process if it has one."""
        worker = {"decode_worker_id": f"{instance_id:x}"}
        card = self._model.cards.get(instance_id)
        if card is not None and card.instance.service:
            worker["decode_worker"] = card.instance.service
        return worker

    def _timing(self) -> dict[str, float]:
        timing: dict[str, float] = {
            "request_received_ms": self._received_ms,
            "ttft_ms": round((self._first - self._started) * 1e3, 3),
            "total_time_ms": round((time.perf_counter() - self._started) * 1e3, 3),
        }
        prefilled = self._prefilled
        if prefilled is not None:
            timing["prefill_wait_time_ms"] = round((prefilled.began - self._started) * 1e3, 3)
            timing["prefill_time_ms"] = round(prefilled.seconds * 1e3, 3)
            timing["kv_transfer_time_ms"] = round(self._transfer_s * 1e3, 3)
        if self._kv_hit_rate is not None:
            timing["kv_hit_rate"] = round(self._kv_hit_rate, 4)
        return timing


def _prefill_worker(choice: Choice) -> dict[str, str]:
    """Nothing when the prompt was computed where it was decoded."""
    prefilled = choice.prefilled
    if prefilled is None:
        return {}
    worker = {"prefill_worker_id": f"{prefilled.worker:x}"}
    return worker | {"prefill_worker": prefilled.service} if prefilled.service else worker


def _member(extras: dict[str, Any]) -> bytes:
    return b',"nvext":' + msgspec.json.encode(extras) if extras else b""


class ExtendedStream(StreamedAnswer):
    """Every chunk says its worker, the last one also the times."""

    def __init__(
        self, exchange: Exchange, form: Format, tracker: Tracker, flusher: Flusher, include_usage: bool, extras: Extras
    ) -> None:
        super().__init__(exchange, form, tracker, flusher, include_usage)
        self._extras = extras
        self._instance = 0
        self._event_end = EVENT_END

    def _show(self, choice: Choice, text: str, reason: str | None) -> None:
        if choice.instance_id != self._instance:
            self._instance = choice.instance_id
            self._event_end = self._extras.note(choice) + EVENT_END
        if reason is not None:
            self._extras.ended(choice)
        super()._show(choice, text, reason)

    def _begin_together(self) -> None:
        """Who answers the others is not known yet."""
        known, self._event_end = self._event_end, EVENT_END
        super()._begin_together()
        self._event_end = known

    def _send(self, events: bytes, last: bool) -> None:
        final = b""
        if last:
            events, end, done = events.rpartition(EVENT_END)
            about = None if self._include_usage else self._instance
            final = self._extras.last_member(about) + end + done
        super()._send(events.replace(EVENT_END, self._event_end) + final, last)


class ExtendedWhole(WholeAnswer):
    def __init__(self, exchange: Exchange, form: Format, tracker: Tracker, flusher: Flusher, extras: Extras) -> None:
        super().__init__(exchange, form, tracker, flusher)
        self._extras = extras
        self.patient = not extras.timed

    def _show(self, choice: Choice, text: str, reason: str | None) -> None:
        self._extras.note(choice)
        if reason is not None:
            self._extras.ended(choice)
        super()._show(choice, text, reason)

    def _send(self, body: bytes) -> None:
        super()._send(body[:-1] + self._extras.last_member(None) + b"}")
