"""The paged KV cache of the device: which blocks are in use, which hold a prefix someone may come back to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from dynamo_cli.protocol.kv import Cleared, KvEvent
from dynamo_cli.workers.engines.mock.simulation.changes import Changes
from dynamo_cli.workers.engines.mock.simulation.host import HostTier


class Prefix(NamedTuple):
    """How many blocks of a prompt are cached: on the device, and from there on in the host tier.

    `unused`: those of the device that nobody uses now; they stop being available when taken.
    """

    device: int
    host: int
    unused: int


NOTHING = Prefix(0, 0, 0)


class BlockPool:
    """Every block is free (holds nothing), active (sequences use it) or inactive (a named one that nobody uses).

    A full block has a name, its chained hash, and is shared by all who have that prefix. Nothing here moves data: a
    sequence knows how many unnamed blocks it has, the pool how many there are.
    """

    def __init__(self, total: int, block_size: int, host_blocks: int = 0) -> None:
        self.total = total
        self.block_size = block_size
        self.free = total
        self.host = HostTier(host_blocks)
        self._users: dict[int, int] = {}
        self._unused: OrderedDict[int, None] = OrderedDict()
        self._changes = Changes("device")
        self._cleared = False

    @property
    def inactive(self) -> int:
        return len(self._unused)

    @property
    def available(self) -> int:
        """How many blocks can be had, evicting what nobody uses."""
        return self.free + len(self._unused)

    @property
    def active(self) -> int:
        return self.total - self.free - len(self._unused)

    @property
    def occupancy(self) -> float:
        """Share of the cache in use, 0..1."""
        return (self.total - self.free - len(self._unused)) / self.total

    @property
    def names(self) -> set[int]:
        """Of all blocks on the device that can be found."""
        return set(self._users)

    def users(self, name: int) -> int:
        """How many sequences use that block."""
        return self._users.get(name, 0)

    def blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.block_size)

    def find(self, names: Sequence[int], most: int) -> Prefix:
        """The longest cached prefix, of `most` blocks or fewer. Changes nothing."""
        users, host = self._users, self.host
        device = unused = 0
        most = min(most, len(names))
        while device < most and (using := users.get(names[device])) is not None:
            device += 1
            unused += not using
        end = device
        while end < most and names[end] in host:
            end += 1
        return Prefix(device, end - device, unused)

    def reuse(self, names: Sequence[int], prefix: Prefix) -> None:
        """Use what `find` has found; what is in the host tier comes back to the device.

        `prefix.host` + `prefix.unused` must be available.
        """
        users, unused = self._users, self._unused
        for name in names[: prefix.device]:
            if not users[name]:
                del unused[name]
            users[name] += 1
        if prefix.host:
            found = names[prefix.device : prefix.device + prefix.host]
            self.take(len(found))
            self.name(found)
            for name in reversed(found):
                self.host.put(name)

    def take(self, count: int) -> None:
        """So many unnamed blocks; they must be available."""
        self.free -= count
        while self.free < 0:
            name, _ = self._unused.popitem(last=False)
            del self._users[name]
            self._changes.removed(name)
            self.host.put(name)
            self.free += 1

    def name(self, names: Sequence[int]) -> None:
        """Unnamed blocks have become full: from now on they can be found.

        One that the cache has already is used instead, and the new one becomes free.
        """
        users, stored = self._users, self._changes.stored
        for name in names:
            using = users.get(name)
            if using is None:
                users[name] = 1
                stored(name)
                continue
            if not using:
                del self._unused[name]
            users[name] = using + 1
            self.free += 1

    def release(self, names: Sequence[int], unnamed: int) -> None:
        """A sequence needs its blocks no longer. Its last block is the first to be evicted."""
        self.free += unnamed
        users, unused = self._users, self._unused
        for name in reversed(names):
            using = users[name] = users[name] - 1
            if not using:
                unused[name] = None

    def clear(self) -> None:
        """Forget every block that nobody uses, in all tiers. Those in use are told anew."""
        self.free += len(self._unused)
        for name in self._unused:
            del self._users[name]
        self._unused.clear()
        self.host.clear()
        self._changes.restart([*self._users])
        self._cleared = True

    def drain_events(self) -> list[KvEvent]:
        """What has changed since the last call, to be applied in this order."""
        events: list[KvEvent] = [Cleared()] if self._cleared else []
        self._cleared = False
        events += self._changes.drain()
        if self.host.total:
            events += self.host.changes.drain()
        return events
