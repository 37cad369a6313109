"""What has changed in one tier of the KV cache since it was last told."""

from __future__ import annotations

from dynamo_cli.protocol.kv import KvEvent, Removed, Stored, Tier


class Changes:
    """The net of it: a block that came and went is not told, so what waits to be told is bounded by the tier."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier
        self._stored: dict[int, None] = {}
        self._removed: dict[int, None] = {}

    def stored(self, name: int) -> None:
        if name in self._removed:
            del self._removed[name]
        else:
            self._stored[name] = None

    def removed(self, name: int) -> None:
        if name in self._stored:
            del self._stored[name]
        else:
            self._removed[name] = None

    def drain(self) -> list[KvEvent]:
        """At most one event of a kind; what is stored comes after its parents."""
        events: list[KvEvent] = []
        if self._removed:
            events.append(Removed([*self._removed], self._tier))
            self._removed = {}
        if self._stored:
            events.append(Stored([*self._stored], self._tier))
            self._stored = {}
        return events

    def restart(self, names: list[int]) -> None:
        """All that was told is void: `names` are what there is to tell."""
        self._removed = {}
        self._stored = dict.fromkeys(names)
