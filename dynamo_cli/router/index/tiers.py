"""What workers hold, as their events tell: in device memory, and in the slower tiers behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from dynamo_cli.protocol.kv import Cleared, KvEvent, Stored, Tier
from dynamo_cli.router.index.blocks import BlockIndex


class Overlaps(NamedTuple):
    """Blocks of a prompt that workers hold, by worker; a worker with none is left out.

    `device` counts from the first block, `host` goes on where device ends, `disk` where host ends.
    """

    device: Mapping[int, int]
    host: Mapping[int, int]
    disk: Mapping[int, int]


_NONE: Mapping[int, int] = {}
NOTHING = Overlaps(_NONE, _NONE, _NONE)


class EventIndex:
    """One exact index for each tier. Events of unknown workers are not kept: see `KvRouter`."""

    def __init__(self) -> None:
        self.device = BlockIndex()
        self.host = BlockIndex()
        self.disk = BlockIndex()

    def __len__(self) -> int:
        return len(self.device) + len(self.host) + len(self.disk)

    def add_worker(self, worker: int, total_blocks: int) -> None:
        """A worker that holds nothing yet; `total_blocks` is its device capacity, 0 unknown."""
        self.remove_worker(worker)
        self.device.limit(worker, total_blocks)

    def remove_worker(self, worker: int) -> None:
        self.device.drop(worker)
        self.host.drop(worker)
        self.disk.drop(worker)

    def tier(self, tier: Tier) -> BlockIndex:
        return self.device if tier == "device" else self.host if tier == "host" else self.disk

    def apply(self, worker: int, event: KvEvent) -> None:
        if isinstance(event, Cleared):
            for index in (self.device, self.host, self.disk):
                index.clear(worker)
            return
        index = self.tier(event.tier)
        if isinstance(event, Stored):
            index.stored(worker, event.hashes)
        else:
            index.removed(worker, event.hashes)

    def events(self, worker: int) -> Iterator[Stored]:
        """What the worker holds, as events that build it from nothing."""
        tiers: tuple[tuple[Tier, BlockIndex], ...] = ("device", self.device), ("host", self.host), ("disk", self.disk)
        return (Stored(blocks, tier) for tier, index in tiers for blocks in index.blocks(worker))

    def overlaps(self, hashes: Sequence[int], candidates: Sequence[int]) -> Overlaps:
        """Of the prompt with these chained hashes; the slower tiers are asked for `candidates` only."""
        device = self.device.overlaps(hashes)
        host = self._behind(self.host, hashes, candidates, device, _NONE)
        disk = self._behind(self.disk, hashes, candidates, device, host)
        return Overlaps(device, host, disk)

    def _behind(
        self,
        index: BlockIndex,
        hashes: Sequence[int],
        candidates: Sequence[int],
        device: Mapping[int, int],
        host: Mapping[int, int],
    ) -> Mapping[int, int]:
        if not len(index):
            return _NONE
        more = {one: index.follows(one, hashes, device.get(one, 0) + host.get(one, 0)) for one in candidates}
        return {worker: blocks for worker, blocks in more.items() if blocks}
