"""How busy the GPUs of a deployment are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from msgspec.structs import replace

from dynamo_cli.gpus.meter import GpuMeter
from dynamo_cli.protocol.measures import GpuMeasures
from dynamo_cli.supervisor.service import Service

logger = logging.getLogger("dynamo.supervisor")


class GpuUse:
    """What the driver told last. Where no service has a GPU, nobody is asked."""

    def __init__(self) -> None:
        self.meter = GpuMeter()
        self._told: dict[str, GpuMeasures] = {}
        self._problem = ""

    async def look(self, services: Iterable[Service]) -> None:
        """Ask the driver, in a thread; it may take seconds."""
        uuids = list(dict.fromkeys(gpu.uuid for service in services for gpu in service.spec.gpus))
        if not uuids:
            return
        self._told = {one.uuid: one for one in await asyncio.to_thread(self.meter.measure, uuids)}
        if self.meter.problem != self._problem:
            self._problem = self.meter.problem
            if self._problem:
                logger.warning("cannot see how busy the GPUs are: %s", self._problem)

    async def close(self) -> None:
        await asyncio.to_thread(self.meter.close)

    def measured(self, services: Iterable[Service]) -> list[GpuMeasures]:
        """In the driver's order, each with the services that have it."""
        holders: dict[str, list[str]] = {}
        indexes: dict[str, tuple[int, str]] = {}
        for service in services:
            for gpu in service.spec.gpus:
                holders.setdefault(gpu.uuid, []).append(service.spec.name)
                indexes[gpu.uuid] = gpu.index, f"{gpu.name} MIG {gpu.profile}" if gpu.profile else gpu.name
        found = [
            replace(told, index=indexes[uuid][0], name=indexes[uuid][1] or told.name, services=holders[uuid])
            for uuid, told in self._told.items()
            if uuid in holders
        ]
        return sorted(found, key=lambda one: (one.index, one.uuid))
