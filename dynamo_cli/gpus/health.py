"""How the GPUs of this machine are, and who uses them: what a person asks for and planning does not need."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from dynamo_cli.gpus.gpu import Gpu, GpuInventory
from dynamo_cli.gpus.nvml import NoDriver, ask_driver, attempt, gpus_with_handles, running_processes, text
from dynamo_cli.gpus.visible import visible_gpus


class Holder(msgspec.Struct, frozen=True):
    """A process that holds a GPU's memory, in bytes; 0 when the driver does not tell how much."""

    pid: int
    memory: int = 0


class GpuHealth(msgspec.Struct, frozen=True, kw_only=True):
    """`utilisation` in percent. `ecc_errors`: uncorrected since the driver was loaded. `slowed`: why its clocks are.

    None where the driver or the board does not tell.
    """

    gpu: Gpu
    holders: tuple[Holder, ...] = ()
    utilisation: int | None = None
    persistence: bool | None = None
    mig: bool = False
    ecc_errors: int = 0
    slowed: tuple[str, ...] = ()


class Driver(msgspec.Struct, frozen=True, kw_only=True):
    """`reason`: why it cannot be asked; `broken` when there is one that should answer.

    `count`: the GPUs it counts, those that have fallen off the bus too. `cuda`: the newest CUDA it can run.
    """

    reason: str = ""
    broken: bool = False
    version: str = ""
    cuda: str = ""
    count: int = 0
    gpus: tuple[GpuHealth, ...] = ()

    def inventory(self, environ: Mapping[str, str]) -> GpuInventory:
        """As `read_gpus` would tell it."""
        if self.reason:
            return GpuInventory(reason=self.reason)
        return visible_gpus([each.gpu for each in self.gpus], environ.get("CUDA_VISIBLE_DEVICES"))


def read_driver() -> Driver:
    """Never an error; but a driver that hangs or crashes takes this process along: ask in one of its own."""
    found = ask_driver(_driver)
    return Driver(reason=found.reason, broken=found.broken) if isinstance(found, NoDriver) else found


def _driver(pynvml: Any) -> Driver:
    cuda = attempt(pynvml, pynvml.nvmlSystemGetCudaDriverVersion, 0)
    return Driver(
        version=text(attempt(pynvml, pynvml.nvmlSystemGetDriverVersion, "")),
        cuda=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else "",
        count=pynvml.nvmlDeviceGetCount(),
        gpus=tuple(_health(pynvml, handle, gpu) for handle, gpu in gpus_with_handles(pynvml)),
    )


def _health(pynvml: Any, handle: Any, gpu: Gpu) -> GpuHealth:
    def told(function: Any, default: Any, *arguments: Any) -> Any:
        return attempt(pynvml, partial(function, handle, *arguments), default)

    rates = told(pynvml.nvmlDeviceGetUtilizationRates, None)
    persistence = told(pynvml.nvmlDeviceGetPersistenceMode, None)
    uncorrected, volatile = pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC
    running = running_processes(pynvml, handle)
    return GpuHealth(
        gpu=gpu,
        holders=tuple(sorted((_holder(each) for each in running), key=lambda holder: -holder.memory)),
        utilisation=int(rates.gpu) if rates else None,
        persistence=None if persistence is None else bool(persistence),
        mig=bool(told(pynvml.nvmlDeviceGetMigMode, [0])[0]),
        ecc_errors=int(told(pynvml.nvmlDeviceGetTotalEccErrors, 0, uncorrected, volatile)),
        slowed=_slowed(pynvml, int(told(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, 0))),
    )


def _holder(process: Any) -> Holder:
    return Holder(int(process.pid), int(process.usedGpuMemory or 0))


def _slowed(pynvml: Any, reasons: int) -> tuple[str, ...]:
    """Only what is a fault: a power cap and an idle GPU slow the clocks too."""
    words = {
        pynvml.nvmlClocksThrottleReasonHwThermalSlowdown: "it is too hot",
        pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown: "its power supply limits it",
    }
    return tuple(word for bit, word in words.items() if reasons & bit)
