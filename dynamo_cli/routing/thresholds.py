"""When workers count as busy: as configured, until somebody changes it for a model in all frontends at once.

Each frontend keeps a copy of every change in discovery, so that one that starts later learns it from those that are
there. The copy with the highest version counts: all frontends come to agree, whoever was asked, and whoever has gone.
When the last one has gone, so have the changes.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from dynamo_cli.errors import ResourceMissing
from dynamo_cli.protocol.load import (
    NO_THRESHOLDS,
    THRESHOLDS_PREFIX,
    BusyThresholds,
    ModelThresholds,
    ThresholdChange,
)
from dynamo_cli.router.busy import judges

if TYPE_CHECKING:
    from dynamo_cli.runtime.runtime import DistributedRuntime

log = logging.getLogger(__name__)
_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(ModelThresholds).decode


class Thresholds:
    """`of` a model, now. `on_change` is called with the model's name after a change."""

    def __init__(self, configured: BusyThresholds = NO_THRESHOLDS) -> None:
        self.on_change: Callable[[str], None] = lambda model: None
        self._configured = configured
        self._changed: dict[str, ModelThresholds] = {}

    def of(self, model: str) -> BusyThresholds:
        changed = self._changed.get(model)
        return self._configured if changed is None else changed.thresholds

    def judge(self, model: str) -> bool:
        """Whether any worker of the model can be busy at all."""
        return judges(self.of(model))

    def take(self, known: ModelThresholds) -> bool:
        """Learn what another one knows; False when it is no news."""
        mine = self._changed.get(known.model)
        if mine is not None and mine.version >= known.version:
            return False
        self._changed[known.model] = known
        self.on_change(known.model)
        return True

    def change(self, change: ThresholdChange, by: int) -> ModelThresholds:
        """`by`: a number of whoever does it, so that two changes at the same time have different versions."""
        mine = self._changed.get(change.model)
        version = (mine.version[0] + 1 if mine is not None else 1, by)
        changed = ModelThresholds(change.model, version, change.applied_to(self.of(change.model)))
        self.take(changed)
        return changed

    @property
    def changed(self) -> Mapping[str, ModelThresholds]:
        return self._changed


class SharedThresholds:
    """Keeps Thresholds the same as those of the other frontends of the namespace. `start`, then `close`."""

    def __init__(self, runtime: DistributedRuntime, thresholds: Thresholds) -> None:
        self.thresholds = thresholds
        self._discovery = runtime.discovery
        self._id = runtime.instance_id
        self._prefix = f"{THRESHOLDS_PREFIX}{runtime.config.namespace}/"
        self._news: set[str] = set()
        self._are_news = asyncio.Event()
        self._published: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Know what the others know, then follow."""
        started = asyncio.get_running_loop().create_future()
        following = asyncio.create_task(self._follow(started))
        self._tasks = [following, asyncio.create_task(self._publish())]
        await asyncio.wait((started, following), return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            await following

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for key in self._published:
            await self._discovery.delete(key)

    def change(self, change: ThresholdChange) -> BusyThresholds:
        """Here at once, and with the others as soon as they hear of it."""
        changed = self.thresholds.change(change, self._id)
        self._tell(changed)
        return changed.thresholds

    async def _follow(self, started: asyncio.Future[None]) -> None:
        async with self._discovery.watch_prefix(self._prefix) as watch:
            for value in watch.initial.values():
                self._learn(value)
            started.set_result(None)
            while True:
                for event in await watch.next():
                    if event.kind == "put":
                        self._learn(event.value)

    def _learn(self, value: bytes) -> None:
        try:
            known = _decode(value)
        except msgspec.DecodeError as error:
            log.warning("busy thresholds of another frontend are unreadable: %s", error)
            return
        if self.thresholds.take(known):
            self._tell(known)

    def _tell(self, known: ModelThresholds) -> None:
        log.info("busy thresholds of %s are now %s", known.model, known.thresholds)
        self._news.add(known.model)
        self._are_news.set()

    async def _publish(self) -> None:
        """A copy of what is known, under a key of this frontend's own."""
        while True:
            await self._are_news.wait()
            self._are_news.clear()
            news, self._news = self._news, set()
            for model in news:
                digest = hashlib.blake2b(model.encode(), digest_size=8).hexdigest()
                key = f"{self._prefix}{digest}/{self._id:x}"
                self._published.add(key)
                try:
                    await self._discovery.put(key, _encode(self.thresholds.changed[model]))
                except ResourceMissing as error:
                    log.error("other frontends do not hear of the busy thresholds of %s: %s", model, error)
