"""The event plane: publishers tell what changes in their state, subscribers keep a copy of it.

A message is told once, to whoever follows the topic; what a subscriber has missed it gets as a range of messages, or,
where that is no longer kept, as the whole state. So a copy is exact once nothing is under way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from dynamo_cli.runtime.events.history import MOST_BYTES

GRACE_S = 5.0
"""How long a subscriber trusts what it knows of a publisher that it cannot reach but that is not known to be gone."""

Dump = Callable[[], list[Any]]
"""The whole state as messages that build it from nothing. Called on the event loop between two of its callbacks.

It must give the state as it is after the last message published, so a publisher changes its state and publishes the
change without an await in between. Many small messages are better than a large one.
"""


def no_state() -> list[Any]:
    """The dump of a topic whose messages build no state: who missed one has missed it."""
    return []


class EventSink(Protocol):
    """What a subscriber hears, from the event loop, of publishers by their instance ids.

    A sink that raises is logged, and that publisher's state comes anew.
    """

    def on_reset(self, publisher: int) -> None:
        """Forget all of this publisher's: its whole state follows as events. Also the first call for a publisher."""

    def on_event(self, publisher: int, payload: Any) -> None:
        """The next message, in order and exactly once."""

    def on_gone(self, publisher: int) -> None:
        """Forget all of this publisher's: it is gone, or was not reached for GRACE_S."""


class Standing(NamedTuple):
    """What a subscriber has of one publisher. `whole`: all messages up to `sequence`; `resets`: dumps begun so far."""

    connected: bool
    whole: bool
    sequence: int
    resets: int


class Publisher(ABC):
    """Tells messages to the followers of its topics. Every message of a topic has a number, from 1."""

    @abstractmethod
    def publish(self, topic: str, payload: Any) -> None:
        """Tell a message (anything msgspec encodes), without waiting; it is taken as it is now.

        While nobody follows it costs a count. Raises KeyError for a topic that is not this publisher's, TypeError or
        OverflowError for what cannot be encoded, ValueError for more than 16 MiB; the message then has no number.
        """

    @abstractmethod
    async def close(self) -> None:
        """Leave; followers get what has been published. Idempotent."""


class Subscription(ABC):
    """Follows every publisher of a topic, those that come later too."""

    @abstractmethod
    def publishers(self) -> dict[int, Standing]:
        """The publishers that are announced or connected, by instance id."""

    @abstractmethod
    async def close(self) -> None:
        """The sink hears nothing more. Idempotent."""


class EventPlane(ABC):
    """One process's access. Names are lower-case letters, digits, `-` and `_`; others are a ValueError."""

    @abstractmethod
    async def publisher(
        self, namespace: str, component: str, topics: Mapping[str, Dump], *, remembered: int = MOST_BYTES
    ) -> Publisher:
        """Announce this process as a publisher of these topics; followers come by themselves.

        `remembered`: bytes of the latest messages of a topic that are kept for who has missed some; who has missed
        more gets the state anew.
        ValueError when it is one already, ResourceMissing when it cannot listen.
        """

    @abstractmethod
    async def subscribe(
        self,
        namespace: str,
        component: str,
        topic: str,
        sink: EventSink,
        payload_type: Any = Any,
        *,
        others_only: bool = False,
    ) -> Subscription:
        """Follow a topic. Messages are decoded as `payload_type`; a publisher of others is not believed.

        `others_only`: not this process's own publisher.
        """

    @abstractmethod
    async def close(self) -> None:
        """End all publishers and subscriptions of this process. Idempotent."""
