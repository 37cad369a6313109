"""One request as its caller's process sees it: decodes answers for its sink and returns the window's credit."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from dynamo_cli.errors import DynamoError, EngineFailed
from dynamo_cli.runtime.requests.base import Stream, StreamSink
from dynamo_cli.runtime.requests.flow import Taken, cost_beside_payload
from dynamo_cli.runtime.requests.frames import Cancel, Window

if TYPE_CHECKING:
    from dynamo_cli.runtime.requests.client_link import RequestLink

_log = logging.getLogger(__name__)


def end_with(sink: StreamSink, error: DynamoError) -> None:
    """Tell the sink; a sink that fails harms no other stream."""
    try:
        sink.on_error(error)
    except Exception:
        _log.exception("a reader failed on an error")


class ReceivedStream(Stream):
    __slots__ = ("_batch", "_cost", "_decode", "_link", "_taken", "begun", "id", "sink")

    def __init__(self, link: RequestLink, number: int, sink: StreamSink, decoder: msgspec.msgpack.Decoder[Any]) -> None:
        self.id = number
        self.sink = sink
        self.begun = False
        self._link = link
        self._decode = decoder.decode
        self._cost = cost_beside_payload(number)
        self._taken = Taken()
        self._batch: list[Any] = []

    def cancel(self) -> None:
        if self._link.streams.pop(self.id, None) is not None and not self._link.closed:
            self._link.out.frame(Cancel(self.id))

    def pause(self) -> None:
        self._taken.paused = True

    def resume(self) -> None:
        self._taken.paused = False
        self._return_credit()

    def take(self, payload: msgspec.Raw) -> bool:
        """Decode one answer of the current frame; True for the frame's first."""
        try:
            answer = self._decode(payload)
        except msgspec.DecodeError as error:
            self._give_up(EngineFailed(f"the worker's answer cannot be understood: {error}"))
            return False
        self._taken.cost += len(payload) + self._cost
        batch = self._batch
        batch.append(answer)
        return len(batch) == 1

    def deliver(self) -> None:
        """Hand the current frame's answers to the sink."""
        batch, self._batch = self._batch, []
        self.begun = True
        if self.id not in self._link.streams:
            return
        try:
            self.sink.on_frame(batch)
        except Exception:
            _log.exception("a reader failed on its answers")
            self._give_up(EngineFailed("the reader of this stream failed"))
            return
        if self._taken.cost:
            self._return_credit()

    def end(self) -> None:
        try:
            self.sink.on_end()
        except Exception:
            _log.exception("a reader failed on the end of its stream")

    def _give_up(self, error: DynamoError) -> None:
        self.cancel()
        end_with(self.sink, error)

    def _return_credit(self) -> None:
        if (cost := self._taken.to_return()) and self.id in self._link.streams:
            self._link.out.frame(Window(self.id, cost))
