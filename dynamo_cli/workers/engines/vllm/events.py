"""From what the engine tells each step to `on_kv_events`."""

from __future__ import annotations

import logging
from collections.abc import Callable

from dynamo_cli.protocol.kv import Cleared, KvEvent
from dynamo_cli.workers.engines.vllm import wire
from dynamo_cli.workers.engines.vllm.blocks import BlockNames

Tell = Callable[[list[KvEvent]], None]
_log = logging.getLogger("dynamo.worker")


class EventFeed:
    """`told` returns whom to tell, None for nobody yet: then events are kept for the first one that comes.

    A cache that we have cleared ourselves is empty at once; vLLM says so with its next step, and whatever it says
    before that is of the time before.
    """

    def __init__(self, block_size: int, told: Callable[[], Tell | None]) -> None:
        self._names = BlockNames(block_size)
        self._told = told
        self._kept: list[KvEvent] = []
        self._awaited_clears = 0

    def take(self, message: wire.Events) -> None:
        if message.lost:
            _log.warning("%d steps of KV events were lost: the worker hung; its blocks count as unknown", message.lost)
            self._names.clear()
            self._tell([Cleared()])
        events = message.events
        while self._awaited_clears and events:
            first, *events = events
            self._awaited_clears -= isinstance(first, wire.Cleared)
        self._tell(self._names.translated(events))

    def cleared(self) -> None:
        self._awaited_clears += 1
        self._names.clear()
        self._tell([Cleared()])

    def _tell(self, events: list[KvEvent]) -> None:
        tell = self._told()
        if tell is None:
            self._kept += events
            return
        kept, self._kept = self._kept, []
        if kept or events:
            tell([*kept, *events])
