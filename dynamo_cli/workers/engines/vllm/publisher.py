"""vLLM's publisher of KV events, in its EngineCore: a thread writes them to the worker's private socket."""

from __future__ import annotations

import logging
import socket
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any

from dynamo_cli.workers.engines.vllm.wire import Cleared, Events, Removed, Stored, framed

MOST_WAITING = 100_000
"""Steps. A worker that hangs this long costs events, never the engine's time."""
_SHUTDOWN_S = 1.0
_log = logging.getLogger("vllm.dynamo")


class StepQueue:
    """Steps to be sent, oldest first; when `most` wait, new ones are dropped and counted."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._steps: deque[list[Any]] = deque()
        self._lost = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, events: list[Any]) -> None:
        """Never waits."""
        with self._changed:
            if len(self._steps) >= self._most or self._lost:
                self._lost += 1
            else:
                self._steps.append(events)
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def get(self) -> Events | None:
        """Wait for the next message; None when there will be none. The count of lost steps comes in their place."""
        with self._changed:
            while not (self._steps or self._lost or self._closed):
                self._changed.wait()
            if self._steps:
                return Events(_translated(self._steps.popleft()))
            lost, self._lost = self._lost, 0
            return Events([], lost) if lost else None


def publisher_class() -> type:
    """A subclass of vLLM's EventPublisher; in a function, so that importing this imports no vLLM."""
    from vllm.distributed.kv_events import EventPublisher

    class SocketPublisher(EventPublisher):  # type: ignore[misc]
        def __init__(self, path: str, data_parallel_rank: int = 0) -> None:
            super().__init__(data_parallel_rank)
            self._link = socket.socket(socket.AF_UNIX)
            self._link.connect(path)
            self._link.sendall(framed(Events([])))
            self._queue = StepQueue()
            self._thread = threading.Thread(target=self._send_all, name="dynamo-kv-events", daemon=True)
            self._thread.start()

        def publish(self, events: Any) -> None:
            self._queue.put(events.events)

        def shutdown(self) -> None:
            self._queue.close()
            self._thread.join(_SHUTDOWN_S)
            self._link.close()

        def _send_all(self) -> None:
            try:
                while (message := self._queue.get()) is not None:
                    self._link.sendall(framed(message))
            except OSError as error:
                _log.warning("KV events are told no more: %s", error)

    return SocketPublisher


def _translated(events: Iterable[Any]) -> list[Stored | Removed | Cleared]:
    """vLLM's events, of whatever version, in our form. What a version lacks is None."""
    return [_one(event) for event in events]


def _one(event: Any) -> Stored | Removed | Cleared:
    kind = type(event).__name__
    medium, group = getattr(event, "medium", None), getattr(event, "group_idx", None)
    if kind == "BlockRemoved":
        return Removed(event.block_hashes, medium, group)
    if kind == "AllBlocksCleared":
        return Cleared()
    adapter = getattr(event, "lora_name", None) or ""
    return Stored(
        hashes=event.block_hashes,
        parent=event.parent_block_hash,
        token_ids=list(event.token_ids),
        block_size=event.block_size,
        by_tokens=_named_by_tokens(event, adapter),
        adapter=adapter,
        medium=medium,
        group=group,
        kind=getattr(event, "kv_cache_spec_kind", None),
    )


def _named_by_tokens(event: Any, adapter: str) -> int:
    """Blocks before the first one whose name holds more than its tokens: an image, or a salt."""
    keys = getattr(event, "extra_keys", None) or ()
    for index, of_block in enumerate(keys):
        if of_block and any(key != adapter for key in of_block):
            return index
    return len(event.block_hashes)
