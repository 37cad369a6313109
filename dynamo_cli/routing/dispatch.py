"""Sends a request to the instance the policy picks, and to another one when that is lost."""

from __future__ import annotations

import logging
from functools import partial
from time import perf_counter
from typing import Any, Protocol

from dynamo_cli.errors import (
    DynamoError,
    NoInstances,
    Overloaded,
    PlaneError,
    ResponseTimeout,
    StreamIncomplete,
    Unauthorized,
)
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.router.busy import is_busy, judges
from dynamo_cli.routing.asking import Asked, ModelAsker
from dynamo_cli.routing.hints import NO_HINTS, RoutingHints
from dynamo_cli.routing.legs import Leg, Named
from dynamo_cli.routing.migration import (
    MigrationCounts,
    MigrationOptions,
    Outcome,
    counted,
    is_loss,
    is_refusal,
    migratable,
    reads_alike,
)
from dynamo_cli.routing.placing import Placed, Placer
from dynamo_cli.routing.progress import progress_of
from dynamo_cli.routing.silence import SilenceWatch
from dynamo_cli.routing.thresholds import Thresholds
from dynamo_cli.runtime.requests.base import Stream, StreamSink
from dynamo_cli.runtime.trail import Trail

_OUT_OF_ROTATION = (PlaneError, Unauthorized)
log = logging.getLogger(__name__)


class Reader(StreamSink, Protocol):
    """The sink of a request; frames are lists of Delta."""

    def forget(self) -> bool:
        """Drop all that came, so that the request can begin anew; False when some of it has been used."""


class Dispatcher:
    """One model's requests. `inflight` counts them by instance id. `asker`: the router process is asked first."""

    def __init__(
        self,
        placer: Placer,
        options: MigrationOptions | None = None,
        thresholds: Thresholds | None = None,
        asker: ModelAsker | None = None,
    ) -> None:
        self.placer = placer
        self.asker = asker
        self.model = placer.model
        self.inflight = placer.inflight
        self.options = options or MigrationOptions()
        self.migrations = MigrationCounts()
        self.silence = SilenceWatch(self.options.silence_s)
        self._thresholds = thresholds or Thresholds()

    def send(
        self,
        request: EngineRequest,
        sink: Reader,
        *,
        request_id: str,
        instance_id: int | None = None,
        accepted: bool = False,
        trail: Trail | None = None,
        hints: RoutingHints = NO_HINTS,
    ) -> Flight:
        """Start a request without waiting; `instance_id` names the only instance to use.

        `accepted`: it is part of something that was begun, and is not refused because workers are busy.
        Raises NoInstances when nobody can take it, Overloaded when all who could are busy, InvalidRequest when the
        policy wants an instance named. Later errors go to the sink.
        """
        flight = Flight(self, request, sink, request_id, instance_id, accepted, trail, hints)
        if self.asker is None or instance_id is not None:
            flight.start(request)
        else:
            flight.ask(self.asker, request)
        return flight

    def candidates(self, wanted: int | None, tried: set[int], needs: int, accepted: bool) -> list[int]:
        """The instances for the next attempt, whose contexts hold `needs` tokens. Raises NoInstances.

        Raises Overloaded when only busy ones are left, unless the request was `accepted`.
        """
        candidates = self.model.candidates
        if wanted is not None:
            if wanted in candidates and wanted not in tried:
                return self._spared([wanted], accepted)
            raise NoInstances(f"no worker {wanted:x} serves model {self.model.name} now")
        if tried:
            candidates = [one for one in self.model.with_room(needs) if one not in tried]
        if not candidates:
            raise NoInstances(f"no worker of model {self.model.name} can take the request now; try again soon")
        return self._spared(candidates, accepted)

    def _spared(self, candidates: list[int], accepted: bool) -> list[int]:
        """Without the busy ones, unless it was accepted and there is no other."""
        thresholds, model = self._thresholds.of(self.model.name), self.model
        if not judges(thresholds):
            return candidates
        idle = [one for one in candidates if not is_busy(thresholds, model.loads.of(one), model.capacity(one))]
        if idle or accepted:
            return idle or candidates
        raise Overloaded(f"all workers of model {model.name} that could take the request are busy; try again soon")


class Flight:
    """One request on its way: the sink of its stream, and the caller's handle on it.

    A worker that is lost is replaced by another one, which goes on where it was; the sink hears nothing of it. `legs`:
    the workers it was sent to, in order.
    """

    __slots__ = (
        "_accepted",
        "_asked",
        "_dispatcher",
        "_finished",
        "_hints",
        "_identity",
        "_instance",
        "_listening",
        "_lost_at",
        "_lost_begun",
        "_moves",
        "_over",
        "_placed",
        "_progress",
        "_request_id",
        "_sink",
        "_stream",
        "_trail",
        "_tried",
        "_wanted",
        "kv_hit_rate",
        "legs",
        "paused",
        "quiet",
    )

    def __init__(
        self,
        dispatcher: Dispatcher,
        request: EngineRequest,
        sink: Reader,
        request_id: str,
        wanted: int | None,
        accepted: bool,
        trail: Trail | None,
        hints: RoutingHints,
    ) -> None:
        self.kv_hit_rate: float | None = None
        self.legs: tuple[Leg, ...] = ()
        self.paused = False
        self.quiet = 0
        self._dispatcher = dispatcher
        self._progress = progress_of(request)
        self._sink = sink
        self._request_id = request_id
        self._wanted = wanted
        self._trail = trail
        self._accepted = accepted
        self._hints = hints
        self._identity = dispatcher.model.identity
        self._tried: set[int] = set()
        self._moves = 0
        self._lost_at = 0.0
        self._lost_begun = False
        self._instance = 0
        self._asked: Asked | None = None
        self._placed: Placed | None = None
        self._listening: Placed | None = None
        self._stream: Stream | None = None
        self._finished = False
        self._over = False

    @property
    def instance_id(self) -> int:
        """Who serves it (now); 0 while the router is asked."""
        return self._instance

    def ask(self, asker: ModelAsker, request: EngineRequest) -> None:
        """Let the router process choose the first instance, if there is one; raises as Dispatcher.send."""
        candidates = self._dispatcher.candidates(None, self._tried, self._progress.needs, self._accepted)
        answered = partial(self._advised, request)
        self._asked = asker.ask(request, self._request_id, candidates, self._hints, answered)
        if self._asked is None:
            self.start(request)

    def _advised(self, request: EngineRequest, worker: int | None) -> None:
        self._asked = None
        try:
            self.start(request, worker)
        except DynamoError as error:
            self._over = True
            self._sink.on_error(error)

    def start(self, request: EngineRequest, advised: int | None = None) -> None:
        """Choose an instance and send; raises as Dispatcher.send. `advised`: whom to choose, if it can take it."""
        dispatcher, wanted = self._dispatcher, self._wanted
        while self._stream is None:
            needs = self._progress.needs
            candidates = dispatcher.candidates(wanted, self._tried, needs, self._accepted)
            named = advised if wanted is None else wanted
            bound = named if named in candidates else None
            instance, placed = dispatcher.placer.place(request, self._request_id, candidates, bound, self._hints)
            self._instance, self._placed, self._listening = instance, placed, placed
            self.kv_hit_rate = placed.kv_hit_rate
            by: Named = "client" if wanted is not None else "router" if bound is not None else ""
            self.legs += (Leg(dispatcher.model, instance, placed, candidates, by, self._hints),)
            self._accepted = True
            dispatcher.inflight[instance] = dispatcher.inflight.get(instance, 0) + 1
            try:
                client = dispatcher.model.clients[instance]
                self._stream = client.send(request, instance, self, request_id=self._request_id, trail=self._trail)
            except DynamoError as error:
                self._leave(error)
                if not (is_refusal(error) or is_loss(error)):
                    raise
        dispatcher.silence.add(self)
        if self.paused:
            self._stream.pause()

    def cancel(self) -> None:
        """The worker is told to stop; the sink hears nothing more. Idempotent."""
        if self._asked is not None:
            asked, self._asked, self._over = self._asked, None, True
            asked.cancel()
        elif not self._over:
            stream = self._stream
            self._settle("cancelled")
            self._finish()
            if stream is not None:
                stream.cancel()

    def pause(self) -> None:
        self.paused = True
        if self._stream is not None:
            self._stream.pause()

    def resume(self) -> None:
        self.paused = False
        if self._stream is not None:
            self._stream.resume()

    # StreamSink

    def on_frame(self, deltas: list[Any]) -> None:
        if self._over:
            return
        self.quiet = 0
        if self._listening is not None and not self._listening.heard(self._progress.count):
            self._listening = None
        if self._lost_at:
            self._settle("recovered")
        self._progress.add(deltas)
        if deltas[-1].finish_reason is None:
            self._sink.on_frame(deltas)
        else:
            self._last_frame(deltas)

    def on_end(self) -> None:
        if self._finished:
            self._end()
        else:
            self.on_error(StreamIncomplete("the worker ended the answer without a finish reason"))

    def on_error(self, error: DynamoError) -> None:
        if self._over:
            return
        if self._finished:
            self._end()
        elif is_loss(error) and self._has_all():
            self._leave(error)
            self._over = True
            self._sink.on_frame([Delta(finish_reason="length", usage=self._progress.usage(None))])
            self._sink.on_end()
        else:
            self._move_or_fail(error)

    # Watched

    def fell_silent(self, seconds: float) -> None:
        self.on_error(ResponseTimeout(f"worker {self._instance:x} has sent nothing of the answer for {seconds:g} s"))

    def _last_frame(self, deltas: list[Delta]) -> None:
        last = deltas[-1]
        if last.finish_reason == "cancelled":
            last.finish_reason = None
            if kept := deltas if last.token_ids or last.text else deltas[:-1]:
                self._sink.on_frame(kept)
            self.on_error(StreamIncomplete("the worker gave the request up"))
            return
        self._finished = True
        if self._progress.moved and last.usage is not None:
            last.usage = self._progress.usage(last.usage)
        self._sink.on_frame(deltas)

    def _end(self) -> None:
        if not self._over:
            self._finish()
            self._sink.on_end()

    def _has_all(self) -> bool:
        progress = self._progress
        return progress.complete and counted(progress.request, self._dispatcher.model)

    def _move_or_fail(self, error: DynamoError) -> None:
        self._leave(error)
        if not self._lost_at and (is_loss(error) or is_refusal(error)):
            self._lost_at, self._lost_begun = perf_counter(), self._progress.count > 0
        try:
            self._move(error)
        except DynamoError as final:
            self._settle("failed")
            self._over = True
            self._sink.on_error(final)

    def _move(self, error: DynamoError) -> None:
        """Go on with another worker. Raises what the sink is to hear when there is none, or when it must not be."""
        if is_loss(error):
            self._moves += 1
            if self._moves > self._dispatcher.options.limit:
                raise error
        elif not is_refusal(error):
            raise error
        if not reads_alike(self._identity, self._dispatcher.model.identity):
            raise error
        lost, request = self._instance, self._what_is_left(error)
        try:
            self.start(request)
        except NoInstances:
            raise (NoInstances(str(error)) if isinstance(error, Unauthorized) else error) from None
        self._tell(lost, error)

    def _what_is_left(self, error: DynamoError) -> EngineRequest:
        progress, dispatcher = self._progress, self._dispatcher
        if progress.count and not migratable(progress.request, dispatcher.model):
            if not self._sink.forget():
                raise error
            progress.clear()
        most = dispatcher.options.max_seq_len
        if progress.count and most is not None and len(progress.request.token_ids) + progress.count > most:
            dispatcher.migrations.too_long += 1
            raise error
        return progress.rest()

    def _tell(self, lost: int, error: DynamoError) -> None:
        counts, done = self._dispatcher.migrations, self._progress.count
        counts.ongoing += done > 0
        counts.new += done == 0
        name = self._dispatcher.model.describe
        moved = self._request_id, name(lost), name(self._instance), done, error
        log.info("request %s moves from %s to %s after %d tokens: %s", *moved, extra={"trail": self._trail})

    def _settle(self, outcome: Outcome) -> None:
        """It is known how the search for another worker went, if there was one."""
        if self._lost_at:
            self._dispatcher.migrations.settled(self._lost_begun, outcome, perf_counter() - self._lost_at)
            self._lost_at = 0.0

    def _leave(self, error: DynamoError) -> None:
        """Have no more to do with this instance."""
        self.legs[-1].end(error, self._progress.count)
        self._release()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()
        client = self._dispatcher.model.clients.get(self._instance)
        if client is not None and isinstance(error, _OUT_OF_ROTATION):
            client.report_down(self._instance)
        self._tried.add(self._instance)

    def _finish(self) -> None:
        self._over = True
        self._stream = None
        self._release()

    def _release(self) -> None:
        self._dispatcher.silence.discard(self)
        if self._placed is not None:
            self._placed.over()
            self._placed = self._listening = None
        inflight = self._dispatcher.inflight
        left = inflight[self._instance] - 1
        if left:
            inflight[self._instance] = left
        else:
            del inflight[self._instance]
