"""Sends a request to the instance the policy picks; tries another one while nothing has been answered."""

from __future__ import annotations

from typing import Any

from dynamo_cli.errors import Draining, DynamoError, NoInstances, Overloaded, PlaneError, Unauthorized
from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.router.policies import Policy
from dynamo_cli.routing.registry import RoutedModel
from dynamo_cli.runtime.requests.base import Stream, StreamSink

_TRY_ANOTHER = (PlaneError, NoInstances, Draining, Overloaded, Unauthorized)
_OUT_OF_ROTATION = (PlaneError, Unauthorized)


class Dispatcher:
    """One model's requests. `inflight` counts them by instance id; `retries` those that had to be sent again."""

    def __init__(self, model: RoutedModel, policy: Policy) -> None:
        self.model = model
        self.inflight: dict[int, int] = {}
        self.retries = 0
        self._policy = policy

    def send(
        self, request: EngineRequest, sink: StreamSink, *, request_id: str, instance_id: int | None = None
    ) -> Flight:
        """Start a request without waiting; `instance_id` names the only instance to use.

        Raises NoInstances when nobody can take it, InvalidRequest when the policy wants an instance named. Later
        errors go to the sink.
        """
        flight = Flight(self, request, sink, request_id, instance_id)
        flight.start()
        return flight

    def choose(self, wanted: int | None, tried: set[int]) -> int:
        """The instance for the next attempt. Raises NoInstances."""
        candidates = self.model.candidates
        if wanted is not None:
            if wanted in candidates and wanted not in tried:
                return wanted
            raise NoInstances(f"no worker {wanted:x} serves model {self.model.name} now")
        if tried:
            candidates = [candidate for candidate in candidates if candidate not in tried]
        if not candidates:
            raise NoInstances(f"no worker of model {self.model.name} can take the request now; try again soon")
        return self._policy.pick(candidates, self.inflight)


class Flight:
    """One request on its way: the sink of its stream, and the caller's handle on it.

    Before the first answer a lost worker is replaced by another one. After it the sink hears the error: this is
    where migration goes on with another worker, once it exists.
    """

    __slots__ = (
        "_answered",
        "_dispatcher",
        "_instance",
        "_over",
        "_paused",
        "_request",
        "_request_id",
        "_sink",
        "_stream",
        "_tried",
        "_wanted",
    )

    def __init__(
        self, dispatcher: Dispatcher, request: EngineRequest, sink: StreamSink, request_id: str, wanted: int | None
    ) -> None:
        self._dispatcher = dispatcher
        self._request = request
        self._sink = sink
        self._request_id = request_id
        self._wanted = wanted
        self._tried: set[int] = set()
        self._instance = 0
        self._stream: Stream | None = None
        self._answered = False
        self._paused = False
        self._over = False

    @property
    def instance_id(self) -> int:
        """Who serves it (now)."""
        return self._instance

    def start(self) -> None:
        """Choose an instance and send; raises as Dispatcher.send."""
        dispatcher = self._dispatcher
        self._instance = instance = dispatcher.choose(self._wanted, self._tried)
        dispatcher.inflight[instance] = dispatcher.inflight.get(instance, 0) + 1
        try:
            client = dispatcher.model.clients[instance]
            self._stream = client.send(self._request, instance, self, request_id=self._request_id)
        except DynamoError as error:
            self._try_another(error)
            return
        if self._paused:
            self._stream.pause()

    def cancel(self) -> None:
        """The worker is told to stop; the sink hears nothing more. Idempotent."""
        if not self._over:
            stream = self._stream
            self._finish()
            if stream is not None:
                stream.cancel()

    def pause(self) -> None:
        self._paused = True
        if self._stream is not None:
            self._stream.pause()

    def resume(self) -> None:
        self._paused = False
        if self._stream is not None:
            self._stream.resume()

    # StreamSink

    def on_frame(self, deltas: list[Any]) -> None:
        if not self._over:
            self._answered = True
            self._sink.on_frame(deltas)

    def on_end(self) -> None:
        if not self._over:
            self._finish()
            self._sink.on_end()

    def on_error(self, error: DynamoError) -> None:
        if self._over:
            return
        if self._answered or not isinstance(error, _TRY_ANOTHER):
            self._finish()
            self._sink.on_error(error)
            return
        try:
            self._try_another(error)
        except DynamoError as final:
            self._over = True  # and released already
            self._sink.on_error(final)

    def _try_another(self, error: DynamoError) -> None:
        self._release()
        self._stream = None
        if isinstance(error, _OUT_OF_ROTATION):
            self._dispatcher.model.clients[self._instance].report_down(self._instance)
        self._tried.add(self._instance)
        self._dispatcher.retries += 1
        try:
            self.start()
        except NoInstances:
            raise (NoInstances(str(error)) if isinstance(error, Unauthorized) else error) from None

    def _finish(self) -> None:
        self._over = True
        self._stream = None
        self._release()

    def _release(self) -> None:
        inflight = self._dispatcher.inflight
        left = inflight[self._instance] - 1
        if left:
            inflight[self._instance] = left
        else:
            del inflight[self._instance]
