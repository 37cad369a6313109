"""One request on its way to the workers that answer it, however many it takes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from dynamo_cli.errors import DynamoError, NoInstances, PlaneError, ResponseTimeout, StreamIncomplete, Unauthorized
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage
from dynamo_cli.routing.asking import Asked, ModelAsker
from dynamo_cli.routing.hints import RoutingHints
from dynamo_cli.routing.legs import Leg, Named, Prefilled
from dynamo_cli.routing.migration import Outcome, counted, is_loss, is_refusal, migratable, reads_alike
from dynamo_cli.routing.placing import Placed
from dynamo_cli.routing.progress import progress_of
from dynamo_cli.runtime.requests.base import Stream, StreamSink
from dynamo_cli.runtime.trail import Trail

if TYPE_CHECKING:
    from dynamo_cli.routing.dispatch import Dispatcher

_OUT_OF_ROTATION = (PlaneError, Unauthorized)
Outfit = Callable[[EngineRequest, int], EngineRequest]
"""What that worker is asked, made of what any would be."""
log = logging.getLogger(__name__)


class Reader(StreamSink, Protocol):
    """The sink of a request; frames are lists of Delta."""

    def forget(self) -> bool:
        """Drop all that came, so that the request can begin anew; False when some of it has been used."""


class Flight:
    """One request on its way: the sink of its stream, and the caller's handle on it.

    A worker that is lost is replaced by another one, which goes on where it was; the sink hears nothing of it. That has
    the limits of `_home` and is counted there, wherever `_dispatcher` has sent it meanwhile. `legs`: the workers it was
    sent to, in order. `prefilled`: what a prefill worker did for the one that answers.
    """

    prefilled: Prefilled | None = None
    __slots__ = (
        "_accepted",
        "_asked",
        "_dispatcher",
        "_finished",
        "_hints",
        "_home",
        "_identity",
        "_instance",
        "_listening",
        "_lost_at",
        "_lost_begun",
        "_moves",
        "_outfit",
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
        avoid: Collection[int] = (),
        outfit: Outfit | None = None,
    ) -> None:
        self.kv_hit_rate: float | None = None
        self.legs: tuple[Leg, ...] = ()
        self.paused = False
        self.quiet = 0
        self._dispatcher = self._home = dispatcher
        self._progress = progress_of(request)
        self._sink = sink
        self._request_id = request_id
        self._wanted = wanted
        self._trail = trail
        self._accepted = accepted
        self._hints = hints
        self._identity = dispatcher.model.identity
        self._tried = set(avoid)
        self._outfit = outfit
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

    def launch(self, request: EngineRequest) -> None:
        """Begin; raises as Dispatcher.send. The router process is not asked about a probe, which it would count."""
        asker = self._dispatcher.asker
        if asker is None or self._wanted is not None or request.probe:
            self.start(request)
        else:
            self.ask(asker, request)

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
            self._fail(error)

    def start(self, request: EngineRequest, advised: int | None = None) -> None:
        """Choose an instance and send; raises as Dispatcher.send. `advised`: whom to choose, if it can take it."""
        dispatcher, wanted = self._dispatcher, self._wanted
        while self._stream is None:
            needs = self._progress.needs
            candidates = self._eligible(dispatcher.candidates(wanted, self._tried, needs, self._accepted))
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
                asked = request if self._outfit is None else self._outfit(request, instance)
                self._stream = client.send(asked, instance, self, request_id=self._request_id, trail=self._trail)
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

    # For flights that take another way

    def _eligible(self, candidates: list[int]) -> list[int]:
        """Those of the candidates that can take what is sent now."""
        return candidates

    def _resend(self, request: EngineRequest, error: DynamoError) -> None:
        """Send what is left after an instance was lost; raises as Dispatcher.send."""
        self.start(request)

    def _note_usage(self, usage: EngineUsage) -> None:
        """What the last worker counted."""

    @property
    def _heir(self) -> int:
        """Who has it after it was sent again."""
        return self._instance

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
        if last.usage is not None:
            self._note_usage(last.usage)
            if self._progress.moved:
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
            self._fail(final)

    def _fail(self, error: DynamoError) -> None:
        self._settle("failed")
        self._over = True
        self._sink.on_error(error)

    def _move(self, error: DynamoError) -> None:
        """Go on with another worker. Raises what the sink is to hear when there is none, or when it must not be."""
        if is_loss(error):
            self._moves += 1
            if self._moves > self._home.options.limit:
                raise error
        elif not is_refusal(error):
            raise error
        if not reads_alike(self._identity, self._dispatcher.model.identity):
            raise error
        lost, request = self._instance, self._what_is_left(error)
        try:
            self._resend(request, error)
        except NoInstances:
            raise (NoInstances(str(error)) if isinstance(error, Unauthorized) else error) from None
        self._tell(lost, error)

    def _what_is_left(self, error: DynamoError) -> EngineRequest:
        progress, home = self._progress, self._home
        if progress.count and not migratable(progress.request, self._dispatcher.model):
            if not self._sink.forget():
                raise error
            progress.clear()
        most = home.options.max_seq_len
        if progress.count and most is not None and len(progress.request.token_ids) + progress.count > most:
            home.migrations_of(progress.request).too_long += 1
            raise error
        return progress.rest()

    def _tell(self, lost: int, error: DynamoError) -> None:
        counts, done = self._home.migrations_of(self._progress.request), self._progress.count
        counts.ongoing += done > 0
        counts.new += done == 0
        name = self._dispatcher.model.describe
        moved = self._request_id, name(lost), name(self._heir), done, error
        log.info("request %s moves from %s to %s after %d tokens: %s", *moved, extra={"trail": self._trail})

    def _settle(self, outcome: Outcome) -> None:
        """It is known how the search for another worker went, if there was one."""
        if self._lost_at:
            migrations = self._home.migrations_of(self._progress.request)
            migrations.settled(self._lost_begun, outcome, perf_counter() - self._lost_at)
            self._lost_at = 0.0

    def _leave(self, error: DynamoError) -> None:
        """Have no more to do with this instance."""
        self._part(error)
        client = self._dispatcher.model.clients.get(self._instance)
        if client is not None and isinstance(error, _OUT_OF_ROTATION):
            client.report_down(self._instance)
        self._tried.add(self._instance)

    def _part(self, error: DynamoError) -> None:
        self.legs[-1].end(error, self._progress.count)
        self._release()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()

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
