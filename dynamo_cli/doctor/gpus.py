"""The NVIDIA driver, each GPU and who holds its memory, and what CUDA_VISIBLE_DEVICES makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dynamo_cli.doctor.check import Check, Question, counted, error, ok, skipped, warn
from dynamo_cli.doctor.machine import Machine
from dynamo_cli.doctor.who import Who, who
from dynamo_cli.gpus.gpu import Gpu
from dynamo_cli.gpus.health import Driver, GpuHealth
from dynamo_cli.gpus.usable import CROWDED, memory_words
from dynamo_cli.gpus.visible import find_gpu

NVIDIA = "0x10de"


class Traces(NamedTuple):
    """Signs of NVIDIA GPUs that need no driver: cards on the PCI bus, and device files."""

    cards: int = 0
    device_files: bool = False


class Held(NamedTuple):
    """`memory` in bytes, 0 when the driver does not tell."""

    by: Who
    memory: int

    def __str__(self) -> str:
        return f"{memory_words(self.memory)} held by {self.by}" if self.memory else f"used by {self.by}"


def questions(machine: Machine) -> Iterator[Question]:
    yield Question("driver", lambda: driver_check(machine.driver, read_traces()))
    yield Question("gpus", lambda: gpu_checks(machine.driver))
    yield Question("cuda-visible-devices", lambda: visible_checks(machine))


def driver_check(driver: Driver, traces: Traces) -> Check:
    if not driver.reason:
        words = f"NVIDIA {driver.version or '(version unknown)'}, CUDA {driver.cuda or 'unknown'}"
        return ok("driver", f"{words}, {counted(driver.count, 'GPU')}")
    if driver.broken:
        return error("driver", driver.reason, _repair(driver.reason))
    if traces.device_files:
        why = f"{driver.reason}, although /dev has NVIDIA devices: its library libnvidia-ml.so.1 is missing"
        return warn("driver", why, "in a container: docker run --gpus all; else install the driver")
    if traces.cards:
        why = f"{driver.reason} for {counted(traces.cards, 'NVIDIA card')} on the PCI bus"
        return warn("driver", why, "install NVIDIA's driver, for example: sudo ubuntu-drivers install")
    return skipped("driver", f"{driver.reason}: CPU engines only")


def _repair(reason: str) -> str:
    if "nvidia-ml-py" in reason:
        return "pip install nvidia-ml-py"
    if "mismatch" in reason.lower():
        return "the driver was updated while it ran: reboot, or reload the kernel module nvidia"
    return "nvidia-smi says more; reload the kernel module nvidia, or reboot"


def gpu_checks(driver: Driver) -> Iterator[Check]:
    for health in driver.gpus:
        yield gpu_check(health, [Held(who(each.pid), each.memory) for each in health.gpu.holders])
    lost = driver.count - len(driver.gpus)
    if lost > 0:
        yield error("lost-gpus", f"{counted(lost, 'GPU')} of {driver.count} does not answer", "dmesg says why; reboot")


def gpu_check(health: GpuHealth, held: Sequence[Held]) -> Check:
    gpu, name = health.gpu, f"gpu-{health.gpu.index}"
    words = ", ".join([_basics(gpu, health), *map(str, held)])
    for ill, fix in _illnesses(health):
        return warn(name, f"{words}; {ill}", fix)
    if gpu.memory_total and gpu.memory_free < CROWDED * gpu.memory_total:
        return warn(name, f"{words}; nearly no memory is free", _relief(held))
    return ok(name, words)


def _basics(gpu: Gpu, health: GpuHealth) -> str:
    words = f"{gpu.name or 'unnamed'}, {memory_words(gpu.memory_free)} free of {memory_words(gpu.memory_total)}"
    if health.instances:
        words += f", MIG {', '.join(part.profile for part in health.instances)}"
    if health.utilisation is not None:
        words += f", {health.utilisation}% busy"
    return words if health.persistence is not False else f"{words}, persistence off"


def _illnesses(health: GpuHealth) -> Iterator[tuple[str, str]]:
    index = health.gpu.index
    if health.ecc_errors:
        yield f"{counted(health.ecc_errors, 'uncorrected ECC error')}", f"nvidia-smi -i {index} -q -d ECC; reset it"
    if health.slowed:
        yield f"its clocks are slowed: {' and '.join(health.slowed)}", "check its cooling and power"
    if health.gpu.mig and not health.instances:
        yield "it is in MIG mode without an instance", f"sudo nvidia-smi mig -i {index} -cgi 3g,3g -C, or -mig 0"
    if health.gpu.compute_mode == "prohibited":
        yield "its compute mode forbids programs", f"sudo nvidia-smi -i {index} -c DEFAULT"


def _relief(held: Sequence[Held]) -> str:
    ours = next((each.by.deployment for each in held if each.by.deployment), "")
    if ours:
        return f"dynamo down {ours}"
    pids = [str(each.by.pid) for each in held]
    return f"end pid {', '.join(pids)}, or use another GPU" if pids else "use another GPU"


def visible_checks(machine: Machine) -> Iterable[Check]:
    value = machine.environ.get("CUDA_VISIBLE_DEVICES")
    if value is None:
        return []
    return [visible_check(value, machine.driver.devices, bool(machine.driver.reason))]


def visible_check(value: str, gpus: Sequence[Gpu], no_driver: bool) -> Check:
    name, said = "cuda-visible-devices", f"CUDA_VISIBLE_DEVICES={value}"
    if no_driver:
        return ok(name, f"{said}, without effect here")
    if value.strip() in ("", "-1", "NoDevFiles"):
        return warn(name, f"{said} hides every GPU", "unset CUDA_VISIBLE_DEVICES")
    words = [word.strip() for word in value.split(",")]
    found = [find_gpu(gpus, word) for word in words]
    for position, gpu in enumerate(found):
        if gpu is None:
            why = f"{said}: there is no GPU {words[position] or '(nothing)'}; it and what follows is hidden"
            return warn(name, why, f"name some of {', '.join(str(each.index) for each in gpus) or 'none'}")
        if gpu in found[:position]:
            return warn(name, f"{said}: GPU {words[position]} is named twice", "name each GPU once")
    return ok(name, f"{said} leaves {len(found)} of {len(gpus)}")


def read_traces(root: Path = Path("/")) -> Traces:
    devices = (root / "sys/bus/pci/devices").glob("*")
    cards = sum(_read(each / "vendor") == NVIDIA and _read(each / "class").startswith("0x03") for each in devices)
    return Traces(cards, (root / "dev/nvidiactl").exists())


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
