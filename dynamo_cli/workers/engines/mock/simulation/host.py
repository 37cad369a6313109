"""The host's memory as a second tier: where evicted device blocks go, and are found again."""

from __future__ import annotations

from collections import OrderedDict

from dynamo_cli.workers.engines.mock.simulation.changes import Changes


class HostTier:
    """Full blocks by name; the one not used for the longest time goes first. A block may be here and on the device."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.changes = Changes("host")
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blocks)

    def __contains__(self, name: int) -> bool:
        return name in self._blocks

    def put(self, name: int) -> None:
        """Keep it, or keep it longer."""
        if not self.total:
            return
        if name in self._blocks:
            self._blocks.move_to_end(name)
            return
        if len(self._blocks) == self.total:
            self.changes.removed(self._blocks.popitem(last=False)[0])
        self._blocks[name] = None
        self.changes.stored(name)

    def clear(self) -> None:
        self._blocks.clear()
        self.changes.restart([])
