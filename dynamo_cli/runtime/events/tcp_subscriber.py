"""The subscribing end of the event plane over TCP: one connection to each publisher, made again when it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any, ClassVar

import msgspec

from dynamo_cli.errors import DynamoError, PlaneError, Unauthorized, from_code
from dynamo_cli.runtime.discovery.base import Discovery, Watch
from dynamo_cli.runtime.discovery.owner import is_dead
from dynamo_cli.runtime.events.announcement import EVENTS_PREFIX, Announcement, publisher_of
from dynamo_cli.runtime.events.base import GRACE_S, EventSink, Standing, Subscription
from dynamo_cli.runtime.events.frames import AnyFrame, Tip, frame_decoder
from dynamo_cli.runtime.events.intake import Intake
from dynamo_cli.runtime.links.client import ClientLink, connect
from dynamo_cli.runtime.links.frames import Error, Purpose

_log = logging.getLogger(__name__)
SILENCE_S = 10.0
"""After this long without a beat a connection is given up: its publisher's host may be gone."""
ANSWER_S = 1.0
_PAUSES_S = (0.02, 0.05, 0.1, 0.2, 0.5)
_LONGEST_PAUSE_S = 1.0
_STEADY_S = 2.0
_NOT_WORTH_A_LINE_S = 1.0
_decode_announcement = msgspec.msgpack.Decoder(Announcement).decode


class SubscriberLink(ClientLink):
    """Brings one publisher's frames to the intake; `over` is done when the connection is, with the reason."""

    plane = "event plane"
    purpose: ClassVar[Purpose] = "events"
    decoder = frame_decoder

    def __init__(self, followed: Followed, token: bytes, path: str) -> None:
        super().__init__(followed.announcement.address, token)
        self.over: asyncio.Future[DynamoError] = self._loop.create_future()
        self._followed = followed
        self._intake = followed.intake
        self._path = path
        self._asked = False
        self._heard_s = self._loop.time()
        self._listening: asyncio.TimerHandle | None = None

    def on_welcome(self) -> None:
        self._ask()
        self._listen()

    def on_answer(self, frame: AnyFrame) -> None:
        self._heard_s = self._loop.time()
        if type(frame) is Error:
            self.close(f"{from_code(frame.code, frame.message)}")
            return
        try:
            nothing_is_missing = self._intake.take(frame)
        except msgspec.DecodeError as error:
            self._followed.complain(f"an event cannot be understood: {error}")
            self.close("an event cannot be understood")
        except Exception as error:
            self._followed.complain("the sink failed on an event", error)
            self.close("the sink failed")
        else:
            if nothing_is_missing:
                self._asked = False
                if type(frame) is Tip:
                    self._followed.up_to_date()
            elif not self._asked or type(frame) is Tip:
                self._ask()

    def on_closed(self, reason: str) -> None:
        super().on_closed(reason)
        if self._listening is not None:
            self._listening.cancel()
        if not self.over.done():
            self.over.set_result(PlaneError(reason or "the publisher closed the connection"))

    def _ask(self) -> None:
        self._asked = True
        self.send(self._intake.follow(self._path))

    def _listen(self) -> None:
        """Ask again when there is no answer; give up after a long silence."""
        silent_s = self._loop.time() - self._heard_s
        if silent_s >= SILENCE_S:
            self.close(f"nothing was heard for {SILENCE_S:g} s")
            return
        if self._asked and silent_s >= ANSWER_S:
            self._ask()
        self._listening = self._loop.call_later(ANSWER_S, self._listen)


class Followed:
    """One publisher as long as it is announced or connected.

    One that refuses this process's token is left alone until it announces itself anew.
    """

    def __init__(self, subscription: TcpSubscription, intake: Intake, announcement: Announcement) -> None:
        self.intake = intake
        self.announced = True
        self.connected = False
        self.announcement = announcement
        self._subscription = subscription
        self._loop = asyncio.get_running_loop()
        self._grace: asyncio.TimerHandle | None = None
        self._pauses = _pauses()
        self._connected_s = 0.0
        self._lost_s: float | None = None
        self._complained = False
        self._ended = False
        self._task = self._loop.create_task(self._follow())

    def replace(self, announcement: Announcement) -> None:
        """It has announced itself anew: perhaps under another address, by another process."""
        self.announced = True
        if announcement != self.announcement or self._ended or self._task.done():
            self._task.cancel()
            self.announcement = announcement
            self._ended = self._complained = False
            self._task = self._loop.create_task(self._follow(self._task))

    def withdraw(self) -> None:
        """It is announced no longer; while it is connected it still counts."""
        self.announced = False
        if not self.connected:
            self.end()

    def end(self) -> None:
        """It is gone: tell the sink at once."""
        self._ended = True
        self._task.cancel()
        self._be_gone()
        if not self.announced:
            self._subscription.forget(self)

    async def close(self) -> None:
        self._cancel_grace()
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _follow(self, before: asyncio.Task[None] | None = None) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            while not self._ended:
                self._lost(await self._once())
                await asyncio.sleep(next(self._pauses))
        except Unauthorized as error:
            _log.error("cannot follow the events of %s: %s", self._name, error)

    async def _once(self) -> DynamoError:
        """Connect and follow until the connection is lost, and say why it was; Unauthorized is raised."""
        link = SubscriberLink(self, self._subscription.token, self._subscription.path)
        try:
            await connect(link)
            self.connected = True
            self._connected_s = self._loop.time()
            return await link.over
        except Unauthorized:
            raise
        except DynamoError as error:
            return error
        finally:
            self.connected = False
            link.close("")
            await link.gone()

    def _lost(self, reason: DynamoError) -> None:
        if not self.announced or is_dead(self.announcement.owner):
            self.end()
            return
        now = self._loop.time()
        self._lost_s = self._lost_s or now
        if now - self._lost_s >= _NOT_WORTH_A_LINE_S:
            self.complain(f"the events are lost, trying again: {reason}")
        if self._grace is None:
            self._grace = self._loop.call_later(GRACE_S, self._be_gone)

    def up_to_date(self) -> None:
        """All that was told has come."""
        self._cancel_grace()
        self._lost_s = None
        if self._loop.time() - self._connected_s >= _STEADY_S:
            self._pauses = _pauses()
            if self._complained:
                self._complained = False
                _log.info("%s: events come again", self._name)

    def complain(self, what: str, error: Exception | None = None) -> None:
        """Say it once until it is well again."""
        if not self._complained:
            self._complained = True
            _log.warning("%s: %s", self._name, what, exc_info=error)

    def _be_gone(self) -> None:
        self._cancel_grace()
        with _logged(self._name):
            self.intake.forget()

    def _cancel_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    @property
    def _name(self) -> str:
        return f"{self._subscription.path} of {self.intake.publisher:x}"


class TcpSubscription(Subscription):
    """Follows the announcements of a topic, except those of the publisher `ignored`. `closed` hears of its end."""

    def __init__(
        self,
        token: bytes,
        path: str,
        sink: EventSink,
        payload_type: Any,
        ignored: int | None,
        closed: Callable[[TcpSubscription], object],
    ) -> None:
        self._ignored = ignored
        self._closed = closed
        self.token = token
        self.path = path
        self._sink = sink
        self._decode = msgspec.msgpack.Decoder(payload_type).decode
        self._followed: dict[int, Followed] = {}
        self._watching: asyncio.Task[None] | None = None

    async def start(self, discovery: Discovery) -> None:
        """Until those that are there now are being followed."""
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watching = asyncio.create_task(self._watch(discovery, started))
        await started

    def publishers(self) -> dict[int, Standing]:
        return {
            publisher: Standing(one.connected, one.intake.whole, one.intake.sequence, one.intake.resets)
            for publisher, one in self._followed.items()
        }

    async def close(self) -> None:
        self._closed(self)
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        followed, self._followed = self._followed, {}
        for one in followed.values():
            await one.close()

    def forget(self, followed: Followed) -> None:
        self._followed.pop(followed.intake.publisher, None)

    async def _watch(self, discovery: Discovery, started: asyncio.Future[None]) -> None:
        try:
            async with discovery.watch_prefix(f"{EVENTS_PREFIX}{self.path}/") as watch:
                for key, value in watch.initial.items():
                    self._put(key, value)
                started.set_result(None)
                await self._follow_changes(watch)
        except Exception as error:
            if started.done():
                _log.exception("following the publishers of %s failed", self.path)
            else:
                started.set_exception(error)

    async def _follow_changes(self, watch: Watch) -> None:
        while True:
            for event in await watch.next():
                if event.kind == "put":
                    self._put(event.key, event.value)
                elif (publisher := _publisher(event.key)) in self._followed:
                    self._followed[publisher].withdraw()

    def _put(self, key: str, value: bytes) -> None:
        publisher = _publisher(key)
        if publisher == self._ignored:
            return
        try:
            announcement = _decode_announcement(value)
        except msgspec.DecodeError as error:
            _log.warning("%s does not hold an announcement: %s", key, error)
            return
        if publisher < 0:
            _log.warning("%s does not name a publisher", key)
        elif publisher in self._followed:
            self._followed[publisher].replace(announcement)
        else:
            intake = Intake(publisher, self._sink, self._decode)
            self._followed[publisher] = Followed(self, intake, announcement)


def _publisher(key: str) -> int:
    """-1 when the key names none."""
    with contextlib.suppress(ValueError):
        return publisher_of(key)
    return -1


def _pauses() -> Iterator[float]:
    return chain(_PAUSES_S, repeat(_LONGEST_PAUSE_S))


@contextlib.contextmanager
def _logged(what: str) -> Iterator[None]:
    try:
        yield
    except Exception:
        _log.exception("a sink failed on the end of %s", what)
