"""Some pools and services of a topology, with what they depend on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from dynamo_cli.errors import UsageError
from dynamo_cli.topology.parts import Managed, Topology
from dynamo_cli.topology.words import suggestion

M = TypeVar("M", bound=Managed)


def subset(topology: Topology, names: Sequence[str], *, with_dependencies: bool = True) -> Topology:
    """The frontends and the named pools and services. UsageError for a name it does not have.

    Without its dependencies a part waits for none that is left out.
    """
    parts: dict[str, Managed] = {**topology.workers, **topology.services}
    for name in names:
        if name not in parts:
            raise UsageError(f"{topology.source} has no pool or service {name}{suggestion(name, parts)}")
    kept = _closure(names, parts) if with_dependencies else set(names)
    return msgspec.structs.replace(
        topology,
        workers={name: _without(pool, kept) for name, pool in topology.workers.items() if name in kept},
        services={name: _without(service, kept) for name, service in topology.services.items() if name in kept},
    )


def _closure(names: Iterable[str], parts: dict[str, Managed]) -> set[str]:
    kept: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in parts and name not in kept:
            kept.add(name)
            waiting += [wanted.name for wanted in parts[name].depends_on]
    return kept


def _without(part: M, kept: set[str]) -> M:
    wanted = tuple(each for each in part.depends_on if each.name in kept or each.name == "frontend")
    return msgspec.structs.replace(part, depends_on=wanted)
