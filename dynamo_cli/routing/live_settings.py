"""Settings of models that somebody may change in all frontends at once.

Each frontend keeps a copy of every change in discovery, so that one that starts later learns it from those that are
there. The copy with the highest version counts: all frontends come to agree, whoever was asked, and whoever has gone.
When the last one has gone, so have the changes.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from dynamo_cli.errors import ResourceMissing

if TYPE_CHECKING:
    from dynamo_cli.runtime.runtime import DistributedRuntime

T = TypeVar("T")
log = logging.getLogger(__name__)
_encode = msgspec.msgpack.encode


class ModelSetting(msgspec.Struct, Generic[T], frozen=True):
    """What one frontend knows of a model's setting; the highest `version` counts, so that all come to agree."""

    model: str
    version: tuple[int, int]
    value: T


class LiveSettings(Generic[T]):
    """`of` a model, now: as configured, until it is changed. `on_change` is called with the model's name."""

    def __init__(self, configured: T) -> None:
        self.on_change: Callable[[str], None] = lambda model: None
        self._configured = configured
        self._changed: dict[str, ModelSetting[T]] = {}

    def of(self, model: str) -> T:
        changed = self._changed.get(model)
        return self._configured if changed is None else changed.value

    def take(self, known: ModelSetting[T]) -> bool:
        """Learn what another one knows; False when it is no news."""
        mine = self._changed.get(known.model)
        if mine is not None and mine.version >= known.version:
            return False
        self._changed[known.model] = known
        self.on_change(known.model)
        return True

    def put(self, model: str, value: T, by: int) -> ModelSetting[T]:
        """`by`: a number of whoever does it, so that two changes at the same time have different versions."""
        mine = self._changed.get(model)
        changed = ModelSetting(model, (mine.version[0] + 1 if mine is not None else 1, by), value)
        self.take(changed)
        return changed

    @property
    def changed(self) -> Mapping[str, ModelSetting[T]]:
        return self._changed


class SharedSettings(Generic[T]):
    """Keeps LiveSettings the same as those of the other frontends of the namespace. `start`, then `close`.

    `prefix`: of their keys in discovery. `kind`: of the values; `words` for them.
    """

    def __init__(
        self, runtime: DistributedRuntime, settings: LiveSettings[T], prefix: str, kind: Any, words: str
    ) -> None:
        self.settings = settings
        self._discovery = runtime.discovery
        self._id = runtime.instance_id
        self._prefix = f"{prefix}{runtime.config.namespace}/"
        self._words = words
        self._decoder: msgspec.msgpack.Decoder[ModelSetting[T]] = msgspec.msgpack.Decoder(ModelSetting[kind])
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

    def put(self, model: str, value: T) -> T:
        """Here at once, and with the others as soon as they hear of it."""
        changed = self.settings.put(model, value, self._id)
        self._tell(changed)
        return changed.value

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
            known = self._decoder.decode(value)
        except msgspec.DecodeError as error:
            log.warning("%s of another frontend are unreadable: %s", self._words, error)
            return
        if self.settings.take(known):
            self._tell(known)

    def _tell(self, known: ModelSetting[T]) -> None:
        log.info("%s of %s are now %s", self._words, known.model, known.value)
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
                    await self._discovery.put(key, _encode(self.settings.changed[model]))
                except ResourceMissing as error:
                    log.error("other frontends do not hear of the %s of %s: %s", self._words, model, error)
