"""The operating system, the processor, and whether this is a container or a virtual machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dynamo_cli.doctor.check import Check, Question, counted, error, ok, warn
from dynamo_cli.doctor.machine import Machine
from dynamo_cli.runtime.cgroup import group_files

WELL_KNOWN = ("x86_64", "amd64", "aarch64", "arm64")


class System(NamedTuple):
    """As `platform` names them. `distribution` is "" where there is no os-release file."""

    kind: str
    release: str
    machine: str
    distribution: str = ""


class Processor(NamedTuple):
    """`allowed`: the cores this process may run on. `quota`: the cores' worth of time its control group may take."""

    model: str
    cores: int
    allowed: int
    quota: float | None = None


def questions(machine: Machine) -> Iterator[Question]:
    yield Question("os", lambda: os_check(read_system()))
    yield Question("architecture", lambda: architecture_check(read_system().machine))
    yield Question("cpu", lambda: cpu_check(read_processor()))
    yield Question("virtualization", lambda: ok("virtualization", surroundings()))


def os_check(system: System) -> Check:
    if system.kind == "Linux":
        words = f"{system.distribution or 'Linux'}, kernel {system.release}"
        if "microsoft" not in system.release.lower():
            return ok("os", words)
        if "WSL2" in system.release or system.release.endswith("-microsoft-standard"):
            return ok("os", f"{words} (WSL 2)")
        return warn("os", f"{words} (WSL 1): no GPUs, slow files", "wsl --set-version DISTRIBUTION 2")
    if system.kind == "Darwin":
        lacks = "no GPUs; processes of a supervisor that is killed are ended by its guard alone; not tested"
        return warn("os", f"macOS {system.release}: {lacks}", "use Linux for what must not fail")
    return error("os", f"{system.kind} {system.release} is not supported", "on Windows use WSL 2: wsl --install")


def architecture_check(machine: str) -> Check:
    if machine.lower() in WELL_KNOWN:
        return ok("architecture", machine)
    return warn("architecture", f"{machine}: engines publish packages for x86_64 and arm64 only")


def cpu_check(processor: Processor) -> Check:
    usable = min(processor.allowed, processor.quota or processor.allowed)
    words = f"{processor.model or 'unknown model'}, {counted(processor.cores, 'core')}"
    if usable < processor.cores:
        why = "a quota of its control group" if usable < processor.allowed else "its affinity mask"
        words += f", {usable:g} of them usable ({why})"
    if usable < 1:
        return warn("cpu", f"{words}: answers will be slow", "give the container a whole core: docker run --cpus 2")
    return ok("cpu", words)


def read_system() -> System:
    facts = platform.uname()
    release = platform.mac_ver()[0] if facts.system == "Darwin" else facts.release
    return System(facts.system, release, facts.machine, _distribution())


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def read_processor(root: Path = Path("/")) -> Processor:
    cores = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return Processor(_model(root), cores, allowed, quota(root))


def _model(root: Path) -> str:
    try:
        lines = (root / "proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def quota(root: Path = Path("/")) -> float | None:
    """The smallest number of cores' worth of time among our control groups; None without a limit."""
    limits = []
    for file in group_files(root, "cpu", "cpu.max", "cpu.cfs_quota_us"):
        words = file.read_text().split()
        period = words[1] if len(words) > 1 else _legacy_period(file)
        if words and words[0] not in ("max", "-1") and period:
            limits.append(int(words[0]) / int(period))
    return min(limits, default=None)


def _legacy_period(quota_file: Path) -> str:
    try:
        return quota_file.with_name("cpu.cfs_period_us").read_text().strip()
    except OSError:
        return ""


def surroundings(root: Path = Path("/")) -> str:
    """`container (Docker)`, `virtual machine (KVM)`, both, or `none seen`."""
    container, hypervisor = _container(root), _hypervisor(root)
    found = [f"container ({container})" if container else "", f"virtual machine ({hypervisor})" if hypervisor else ""]
    return ", ".join(filter(None, found)) or "none seen"


def _container(root: Path) -> str:
    marks = {".dockerenv": "Docker", "run/.containerenv": "Podman", "var/run/secrets/kubernetes.io": "Kubernetes"}
    by_file = [name for file, name in marks.items() if (root / file).exists()]
    try:
        return (root / "run/systemd/container").read_text().strip() or "".join(by_file[-1:])
    except OSError:
        return "".join(by_file[-1:])


def _hypervisor(root: Path) -> str:
    try:
        product = (root / "sys/class/dmi/id/product_name").read_text().strip()
    except OSError:
        product = ""
    try:
        virtual = " hypervisor" in (root / "proc/cpuinfo").read_text()
    except OSError:
        virtual = False
    return (product or "kind unknown") if virtual else ""
