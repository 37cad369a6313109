"""Lets the routers of several frontends know what each of them has sent to the workers they share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

from dynamo_cli.protocol.held_sequences import HeldSequences
from dynamo_cli.protocol.sequences import SEQUENCES_PLACE, SEQUENCES_TOPIC, SequenceEvent, SequenceNews
from dynamo_cli.runtime.events.base import EventPlane, EventSink, Publisher, Subscription

log = logging.getLogger(__name__)
_EVENTS_A_MESSAGE = 16
"""The hashes of so many prompts of a million tokens each still fit into one message."""

_REMEMBERED = 1 << 20
"""What is in flight is said anew in less than what happened meanwhile."""
_MOST_UNSAID = 4096
"""Of a model, while it cannot be announced. Nobody follows what is not announced, but that may take long."""


class Member(Protocol):
    """The router of one model."""

    def tell(self, publish: Callable[[SequenceEvent], object] | None) -> None:
        """Publish what changes from now on; None: nothing."""

    def in_flight(self) -> list[SequenceEvent]:
        """Its own requests, as events that build them from nothing."""

    def hear_routers(self, events: list[SequenceEvent]) -> None: ...

    def forget_router(self, router: str) -> None: ...


class SharedSequences(EventSink):
    """Tells the other routers of the deployment about this process's requests, and this process about theirs.

    `instance_id` names this router: one that starts again is another one. `plane` is asked for when `start` is
    called, which is when there is somebody to tell; before that nothing is said and nothing listens.
    """

    def __init__(self, plane: Callable[[], EventPlane], instance_id: int) -> None:
        self.router_id = name_of(instance_id)
        self._plane = plane
        self._members: dict[str, Member] = {}
        self._early: dict[str, HeldSequences] = {}
        self._opening: asyncio.Task[None] | None = None
        self._unsaid: dict[str, list[SequenceEvent]] = {}
        self._saying = False
        self._publisher: Publisher | None = None
        self._subscription: Subscription | None = None

    def join(self, model: str, member: Member) -> None:
        """Let this model's router take part. It hears at once what others have in flight."""
        self._members[model] = member
        early = self._early.pop(model, None)
        if early is not None:
            member.hear_routers(early.events())
        if self._opening is not None:
            member.tell(partial(self._tell, model))

    def start(self) -> None:
        """There is another router. Idempotent."""
        if self._opening is None:
            self._loop = asyncio.get_running_loop()
            for model, member in self._members.items():
                member.tell(partial(self._tell, model))
            self._opening = asyncio.ensure_future(self._open())
            self._opening.add_done_callback(self._opened)

    @property
    def is_open(self) -> bool:
        """Whether it hears the others, and they can hear it."""
        return self._subscription is not None

    def routers(self) -> dict[str, bool]:
        """The others, and whether all is known of them."""
        standings = self._subscription.publishers() if self._subscription is not None else {}
        return {name_of(publisher): standing.whole for publisher, standing in standings.items()}

    async def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._subscription is not None:
            await self._subscription.close()
        if self._publisher is not None:
            await self._publisher.close()

    async def _open(self) -> None:
        plane = self._plane()
        self._publisher = await plane.publisher(*SEQUENCES_PLACE, {SEQUENCES_TOPIC: self._dump}, remembered=_REMEMBERED)
        self._say()
        self._subscription = await plane.subscribe(
            *SEQUENCES_PLACE, SEQUENCES_TOPIC, self, SequenceNews, others_only=True
        )

    def _opened(self, opening: asyncio.Task[None]) -> None:
        if opening.cancelled() or (error := opening.exception()) is None:
            return
        log.error("this frontend routes without knowing what others route: %s", error)
        if self._publisher is None:
            self._unsaid.clear()
            for member in self._members.values():
                member.tell(None)

    def _tell(self, model: str, event: SequenceEvent) -> None:
        """What changes in one pass of the event loop is said together.

        While it is being opened somebody may have got a dump already, so then too nothing may be left out.
        """
        unsaid = self._unsaid.get(model)
        if unsaid is not None:
            if self._publisher is None and len(unsaid) == _MOST_UNSAID:
                unsaid.clear()
            unsaid.append(event)
            return
        self._unsaid[model] = [event]
        if not self._saying and self._publisher is not None:
            self._saying = True
            self._loop.call_soon(self._say)

    def _say(self) -> None:
        self._saying = False
        unsaid, self._unsaid = self._unsaid, {}
        publisher = self._publisher
        assert publisher is not None
        for model, events in unsaid.items():
            for news in _messages(model, events):
                publisher.publish(SEQUENCES_TOPIC, news)

    def _dump(self) -> list[SequenceNews]:
        """What is unsaid is in it already, and is said again: that changes nothing."""
        return [news for model, member in self._members.items() for news in _messages(model, member.in_flight())]

    # EventSink

    def on_reset(self, publisher: int) -> None:
        router = name_of(publisher)
        for member in self._members.values():
            member.forget_router(router)
        for early in self._early.values():
            early.forget(router)

    def on_event(self, publisher: int, payload: SequenceNews) -> None:
        member = self._members.get(payload.model)
        if member is not None:
            member.hear_routers(payload.events)
            return
        early = self._early.setdefault(payload.model, HeldSequences())
        for event in payload.events:
            early.apply(event)

    def on_gone(self, publisher: int) -> None:
        self.on_reset(publisher)


def _messages(model: str, events: list[SequenceEvent]) -> list[SequenceNews]:
    most = _EVENTS_A_MESSAGE
    return [SequenceNews(model, events[at : at + most]) for at in range(0, len(events), most)]


def name_of(instance_id: int) -> str:
    """A router's name, in what it says and where it is shown."""
    return f"{instance_id:x}"
