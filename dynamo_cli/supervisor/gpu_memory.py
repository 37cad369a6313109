"""The GPU memory of processes that have ended: waited for until the driver shows it free, or its holder is named."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from dynamo_cli.gpus.asking import ask_driver
from dynamo_cli.gpus.gpu import Gpu
from dynamo_cli.gpus.health import Driver
from dynamo_cli.gpus.release import intruders, unreleased
from dynamo_cli.gpus.usable import holders_words
from dynamo_cli.supervisor.processes import alive, carries, entry
from dynamo_cli.supervisor.sweep import marks
from dynamo_cli.topology.process import GpuAssignment, ProcessSpec

logger = logging.getLogger("dynamo.supervisor")

PATIENCE_S = 10.0
ASK_S = 5.0
AGAIN_S = 0.2

Say = Callable[[str], None]


class GpuMemory:
    """Of one deployment. `pids`: the processes that ask the driver now, so that nobody else collects their end."""

    def __init__(self, deployment_id: str, impatient: Callable[[], bool] = lambda: False) -> None:
        self.pids: set[int] = set()
        self._marks = marks(deployment_id)
        self._impatient = impatient

    async def freed(self, spec: ProcessSpec, say: Say) -> None:
        """Return when the GPUs of an ended process are free again, at the latest after PATIENCE_S.

        `say` is told what is waited for, and at last what a stranger or a leak keeps. A driver that cannot be asked
        is not waited for.
        """
        if not spec.gpus:
            return
        deadline, told = time.monotonic() + PATIENCE_S, ""
        while not self._impatient():
            driver = await asyncio.to_thread(ask_driver, ASK_S, self.pids)
            if driver.reason:
                logger.warning("%s: cannot see whether its GPU memory is free: %s", spec.name, driver.reason)
                return
            words = self._waiting(driver, spec.gpus)
            if not words:
                if told:
                    say("")
                return self._tell_intruders(driver, spec, say)
            if time.monotonic() > deadline:
                logger.warning("%s: after %g s still %s", spec.name, PATIENCE_S, words)
                say(f"{words} after {PATIENCE_S:g} s: leaked")
                return
            if words != told:
                say(f"waiting for GPU memory: {words}")
                told = words
            await asyncio.sleep(AGAIN_S)

    def _waiting(self, driver: Driver, given: Sequence[GpuAssignment]) -> str:
        devices = _by_uuid(driver)
        found = [(devices[gpu.uuid], gpu.memory_free) for gpu in given if gpu.uuid in devices]
        return "; ".join(filter(None, (unreleased(gpu, before, self._stranger) for gpu, before in found)))

    def _tell_intruders(self, driver: Driver, spec: ProcessSpec, say: Say) -> None:
        devices = _by_uuid(driver)
        for given in spec.gpus:
            gpu = devices.get(given.uuid)
            foreign = intruders(gpu, given.memory_free, self._stranger) if gpu else ()
            if gpu and foreign:
                logger.warning("%s: on %s %s", spec.name, gpu.words, holders_words(foreign))
                say(f"{gpu.words}: {holders_words(foreign)}")

    def _stranger(self, pid: int) -> bool:
        found = entry(pid)
        return found is not None and alive(found.id) and not carries(pid, self._marks)


def wait_until_freed(deployment_id: str, specs: Sequence[ProcessSpec], say: Say) -> None:
    """The same for all processes of a deployment that nobody supervises any more."""
    holding = [spec for spec in specs if spec.gpus]

    async def freed() -> None:
        memory = GpuMemory(deployment_id)
        await asyncio.gather(*(memory.freed(spec, say) for spec in holding))

    if holding:
        asyncio.run(freed())


def _by_uuid(driver: Driver) -> dict[str, Gpu]:
    return {gpu.uuid: gpu for gpu in driver.devices}
