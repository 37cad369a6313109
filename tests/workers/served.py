"""A registration without processes around it, and an engine that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec

from dynamo_cli.errors import EngineFailed, ResourceMissing
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.protocol.instance import EndpointId, Instance, ModelCard, ModelIdentity
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engine import Adapter, Control, Engine, EngineInfo
from dynamo_cli.workers.registration import Registration

INSTANCE = Instance(EndpointId("dynamo", "backend", "generate"), 7, "tcp://127.0.0.1:1")
CARD = ModelCard("base", ModelIdentity("text", 16), INSTANCE)


class FakeDiscovery:
    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}

    async def put(self, key: str, value: bytes) -> None:
        self.keys[key] = value

    async def delete(self, key: str) -> None:
        self.keys.pop(key, None)

    def cards(self) -> dict[str, ModelCard]:
        cards = [msgspec.msgpack.decode(value, type=ModelCard) for value in self.keys.values()]
        return {card.name: card for card in cards}


class FakeServed:
    """`registered`: whether clients find the instance. `unwritable`: nobody can be told of it."""

    def __init__(self) -> None:
        self.registered = self.unwritable = False
        self.inflight = 0

    async def register(self) -> None:
        if self.unwritable:
            raise ResourceMissing("cannot write to discovery")
        self.registered = True

    async def unregister(self) -> None:
        self.registered = False

    async def wait_idle(self, timeout_s: float) -> None:
        async def idle() -> None:
            while self.inflight:
                await asyncio.sleep(0.001)

        try:
            await asyncio.wait_for(idle(), timeout_s)
        except asyncio.TimeoutError:
            return


class World:
    def __init__(self) -> None:
        self.served = FakeServed()
        self.discovery = FakeDiscovery()
        self.changes: list[str] = []
        self.registration = Registration(
            cast(Any, self.served), cast(Any, self.discovery), lambda: self.changes.append(self.registration.why_out)
        )


class ObedientEngine(Engine):
    """`state`: "well", "hung", "broken" or "mute". `controls` and `adapters` are what it was asked for."""

    def __init__(self) -> None:
        self.state = "well"
        self.asked: list[EngineRequest] = []
        self.controls: list[tuple[str, dict[str, Any]]] = []
        self.adapters: dict[str, Adapter] = {}
        self.abandoned = 0

    async def start(self) -> EngineInfo:
        return EngineInfo()

    async def generate(self, request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        self.asked.append(request)
        if self.state == "broken":
            raise EngineFailed("no memory")
        if self.state == "hung":
            try:
                await asyncio.Event().wait()
            finally:
                self.abandoned += 1
        if self.state != "mute":
            yield Delta([5])
        yield Delta(finish_reason="length")

    async def control(self, name: Control, arguments: dict[str, Any]) -> dict[str, Any]:
        if self.state == "broken":
            raise EngineFailed(f"cannot {name}")
        self.controls.append((name, arguments))
        return {"level": 1, **arguments}

    async def add_adapter(self, adapter: Adapter) -> None:
        self.adapters[adapter.name] = adapter

    async def remove_adapter(self, name: str) -> None:
        del self.adapters[name]

    async def stop(self) -> None:
        pass
