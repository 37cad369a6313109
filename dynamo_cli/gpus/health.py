"""The driver with all its GPUs: how they are and who uses them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from dynamo_cli.gpus.gpu import Gpu, GpuInventory
from dynamo_cli.gpus.nvml import Board, NoDriver, attempt, query_driver, read_boards, text
from dynamo_cli.gpus.visible import visible_gpus


class GpuHealth(msgspec.Struct, frozen=True, kw_only=True):
    """`utilisation` in percent. `ecc_errors`: uncorrected since the driver was loaded. `slowed`: why its clocks are.

    None where the driver or the board does not tell. `instances`: those of a GPU in MIG mode.
    """

    gpu: Gpu
    instances: tuple[Gpu, ...] = ()
    utilisation: int | None = None
    persistence: bool | None = None
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

    @property
    def devices(self) -> tuple[Gpu, ...]:
        """Each GPU, followed by its MIG instances."""
        return tuple(device for each in self.gpus for device in (each.gpu, *each.instances))

    def inventory(self, environ: Mapping[str, str]) -> GpuInventory:
        """What CUDA_VISIBLE_DEVICES leaves to this process; an empty list with the reason, never an error."""
        if self.reason:
            return GpuInventory(reason=self.reason)
        return visible_gpus(self.devices, environ.get("CUDA_VISIBLE_DEVICES"))


def read_driver() -> Driver:
    """Never an error; but a driver that hangs or crashes takes this process along: see asking.py."""
    found = query_driver(_driver)
    return Driver(reason=found.reason, broken=found.broken) if isinstance(found, NoDriver) else found


def _driver(pynvml: Any) -> Driver:
    cuda = attempt(pynvml, pynvml.nvmlSystemGetCudaDriverVersion, 0)
    return Driver(
        version=text(attempt(pynvml, pynvml.nvmlSystemGetDriverVersion, "")),
        cuda=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else "",
        count=pynvml.nvmlDeviceGetCount(),
        gpus=tuple(_health(pynvml, board) for board in read_boards(pynvml)),
    )


def _health(pynvml: Any, board: Board) -> GpuHealth:
    def told(function: Any, default: Any, *arguments: Any) -> Any:
        return attempt(pynvml, partial(function, board.handle, *arguments), default)

    rates = told(pynvml.nvmlDeviceGetUtilizationRates, None)
    persistence = told(pynvml.nvmlDeviceGetPersistenceMode, None)
    uncorrected, volatile = pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC
    return GpuHealth(
        gpu=board.gpu,
        instances=board.instances,
        utilisation=int(rates.gpu) if rates else None,
        persistence=None if persistence is None else bool(persistence),
        ecc_errors=int(told(pynvml.nvmlDeviceGetTotalEccErrors, 0, uncorrected, volatile)),
        slowed=_slowed(pynvml, int(told(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, 0))),
    )


def _slowed(pynvml: Any, reasons: int) -> tuple[str, ...]:
    """Only what is a fault: a power cap and an idle GPU slow the clocks too."""
    words = {
        pynvml.nvmlClocksThrottleReasonHwThermalSlowdown: "it is too hot",
        pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown: "its power supply limits it",
    }
    return tuple(word for bit, word in words.items() if reasons & bit)
