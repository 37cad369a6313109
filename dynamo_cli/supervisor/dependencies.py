"""What a service still waits for before it may start. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from dynamo_cli.runtime.control import ServiceStatus
from dynamo_cli.topology.process import Dependency

RUNNING = ("STARTING", "LOADING", "READY", "DEGRADED")


class Wait(NamedTuple):
    """`words` is empty when there is nothing to wait for; `hopeless` when what it waits for cannot come by itself."""

    words: str = ""
    hopeless: bool = False

    def __bool__(self) -> bool:
        return bool(self.words)


def unmet(
    wanted: Sequence[Dependency], services: Mapping[str, ServiceStatus], wrote: Callable[[str, str], bool]
) -> Wait:
    """`wrote(name, pattern)`: whether the current incarnation of a service has written such a line.

    A service that is not there any more (its pool was scaled down) is not waited for.
    """
    missing = [d for d in wanted if d.name in services and not _met(d, services[d.name], wrote)]
    for dependency in missing:
        status = services[dependency.name]
        if _lost(dependency, status):
            return Wait(f"needs {dependency.name}, which is {status.state}: {status.reason}", hopeless=True)
    return Wait(f"waits for {', '.join(_wish(d) for d in missing)}") if missing else Wait()


def _met(wanted: Dependency, status: ServiceStatus, wrote: Callable[[str, str], bool]) -> bool:
    if wanted.condition == "started":
        return status.state in RUNNING or status.done
    if wanted.condition == "exited":
        return status.done
    if wanted.condition == "log":
        return (status.state in RUNNING or status.done) and wrote(wanted.name, wanted.pattern)
    return status.ready


def _lost(wanted: Dependency, status: ServiceStatus) -> bool:
    return status.state == "FAILED" or (status.done and wanted.condition in ("ready", "log"))


def _wish(wanted: Dependency) -> str:
    if wanted.condition == "log":
        return f'{wanted.name} to write "{wanted.pattern}"'
    words = {"started": "to start", "ready": "", "exited": "to finish"}[wanted.condition]
    return f"{wanted.name} {words}".rstrip()
