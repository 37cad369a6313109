"""The adapters of a worker: LoRA weights, each of them a model of its own on top of the worker's."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from dynamo_cli.errors import InvalidRequest, ModelMissing
from dynamo_cli.protocol.instance import ModelCard
from dynamo_cli.workers.engine import Adapter, Engine, EngineInfo
from dynamo_cli.workers.registration import Registration

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+/-]{0,79}")
_HASHED_WHOLE = 1 << 20
_log = logging.getLogger("dynamo.worker")


class Adapters:
    """`registration` tells the frontends. One is loaded or unloaded at a time, whatever is asked for meanwhile."""

    def __init__(
        self, engine: Engine, engine_name: str, info: EngineInfo, card: ModelCard, registration: Registration
    ) -> None:
        self._engine = engine
        self._engine_name = engine_name
        self._most = info.max_adapters
        self._card = card
        self._registration = registration
        self._loaded: dict[str, Adapter] = {}
        self._turn = asyncio.Lock()

    def __iter__(self) -> Iterator[Adapter]:
        return iter(self._loaded.values())

    def __contains__(self, name: str) -> bool:
        return name in self._loaded

    async def load(self, name: str, source: str) -> Adapter:
        """Serve the weights of a directory as the model `name`; `source` is its path or file:// URL.

        Once is enough: the same again changes nothing. Raises InvalidRequest.
        """
        adapter = Adapter(self._checked(name), str(_directory(source)))
        async with self._turn:
            present = self._loaded.get(name)
            if present == adapter:
                return adapter
            if present is not None:
                raise InvalidRequest(
                    f"lora_name: adapter {name} is loaded from {present.path}; unload it first", "lora_name"
                )
            if len(self._loaded) >= self._most:
                names = ", ".join(self._loaded)
                raise InvalidRequest(
                    f"the {self._most} adapters that engine {self._engine_name} serves at once are taken: {names}; "
                    "unload one first",
                    "lora_name",
                )
            digest = await asyncio.to_thread(_digest, Path(adapter.path))
            await self._engine.add_adapter(adapter)
            self._loaded[name] = adapter
            identity = msgspec.structs.replace(self._card.identity, base=self._card.name, adapter=digest)
            try:
                await self._registration.add(msgspec.structs.replace(self._card, name=name, identity=identity))
            except BaseException:
                del self._loaded[name]
                await self._engine.remove_adapter(name)
                raise
        _log.info("serving adapter %s of %s", name, adapter.path)
        return adapter

    async def unload(self, name: str) -> None:
        """Requests that run with it go on. Raises ModelMissing."""
        async with self._turn:
            if name not in self._loaded:
                loaded = ", ".join(self._loaded) or "none"
                raise ModelMissing(f"there is no adapter {name!r} here; loaded: {loaded}")
            await self._registration.remove(name)
            del self._loaded[name]
            await self._engine.remove_adapter(name)
        _log.info("adapter %s is not served any more", name)

    def _checked(self, name: str) -> str:
        if not self._most:
            raise InvalidRequest(f"engine {self._engine_name} serves no adapters here", "lora_name")
        if not _NAME.fullmatch(name):
            raise InvalidRequest(
                f"lora_name: {name!r} cannot be a model's name: want 80 letters, digits and . _ : @ + / - at most",
                "lora_name",
            )
        if name == self._card.name:
            raise InvalidRequest(f"lora_name: {name!r} is the name of the model itself", "lora_name")
        return name


def _directory(source: str) -> Path:
    url = urlsplit(source)
    if url.scheme not in ("", "file") or (url.scheme == "file" and url.netloc not in ("", "localhost")):
        raise InvalidRequest(
            f"source.uri: {source!r} is not on this disk; fetch it and give its directory as a path or file:// URL",
            "source.uri",
        )
    path = Path(unquote(url.path) if url.scheme else source).expanduser().absolute()
    if not path.is_dir():
        raise InvalidRequest(f"source.uri: {path} is no directory on this disk", "source.uri")
    return path


def _digest(directory: Path) -> str:
    """Of names, sizes and what small files hold; of large ones the first and last MiB."""
    digest = hashlib.sha256()
    for file in sorted(path for path in directory.iterdir() if path.is_file()):
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\n".encode("utf-8", "surrogateescape"))
        with file.open("rb") as content:
            digest.update(content.read(_HASHED_WHOLE))
            if size > _HASHED_WHOLE:
                content.seek(max(_HASHED_WHOLE, size - _HASHED_WHOLE))
                digest.update(content.read())
    return digest.hexdigest()[:16]
