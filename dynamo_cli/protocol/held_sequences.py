"""What routers' words about their requests add up to."""

from __future__ import annotations

from dynamo_cli.protocol.sequences import PrefillCompleted, SequenceAdded, SequenceEvent


class HeldSequences:
    """The requests in flight of several routers, for who wants to know of them later. Events may be repeated."""

    def __init__(self) -> None:
        self._events: dict[tuple[str, str], list[SequenceEvent]] = {}

    def __len__(self) -> int:
        """Requests."""
        return len(self._events)

    def apply(self, event: SequenceEvent) -> None:
        key = event.router, event.request_id
        if isinstance(event, SequenceAdded):
            self._events[key] = [event]
        elif isinstance(event, PrefillCompleted):
            if key in self._events:
                self._events[key] = [self._events[key][0], event]
        else:
            self._events.pop(key, None)

    def forget(self, router: str) -> None:
        for key in [key for key in self._events if key[0] == router]:
            del self._events[key]

    def events(self) -> list[SequenceEvent]:
        """Those that build it from nothing."""
        return [event for events in self._events.values() for event in events]
