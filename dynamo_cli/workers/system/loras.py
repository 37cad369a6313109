"""/v1/loras: which adapters a worker serves, and one more or less of them."""

from __future__ import annotations

from typing import Any

import msgspec

from dynamo_cli.runtime.http.exchange import Exchange
from dynamo_cli.workers.adapters import Adapters
from dynamo_cli.workers.engine import Adapter
from dynamo_cli.workers.system.body import body_of

PATH = "/v1/loras"


class Source(msgspec.Struct):
    uri: str


class LoadRequest(msgspec.Struct):
    """`source.uri`: a directory, as its path or file:// URL."""

    lora_name: str
    source: Source


class LoraRoutes:
    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters

    def list_all(self, exchange: Exchange) -> None:
        loras = [_described(adapter) for adapter in self._adapters]
        exchange.send_json({"status": "success", "loras": loras, "count": len(loras)})

    async def load(self, exchange: Exchange) -> None:
        """Answers when frontends can be told of it. Raises InvalidRequest."""
        request = body_of(exchange, LoadRequest)
        adapter = await self._adapters.load(request.lora_name, request.source.uri)
        exchange.send_json({"status": "success", **_described(adapter)})

    async def unload(self, exchange: Exchange) -> None:
        """Raises ModelMissing."""
        name = exchange.request.path.removeprefix(f"{PATH}/")
        await self._adapters.unload(name)
        exchange.send_json({"status": "success", "lora_name": name})


def _described(adapter: Adapter) -> dict[str, Any]:
    return {"lora_name": adapter.name, "path": adapter.path}
