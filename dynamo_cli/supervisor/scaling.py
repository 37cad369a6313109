"""A plan with another number of replicas in a pool. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Mapping

import msgspec

from dynamo_cli.errors import UsageError
from dynamo_cli.supervisor.room import system_port
from dynamo_cli.topology.process import Plan, ProcessSpec
from dynamo_cli.topology.system_port import SYSTEM_PORT
from dynamo_cli.topology.twins import place_of

MOST_REPLICAS = 1000


def scaled(
    plan: Plan,
    replicas: Mapping[str, int],
    models: Mapping[str, ProcessSpec],
    ports: Iterator[int],
    taken: Collection[str] = (),
) -> Plan:
    """`models`: one replica of each pool, to be copied. `taken`: names that are no more in the plan but still run.

    The highest replicas go first.

    Raises UsageError for a pool that is not there, a number that cannot be, several replicas that would listen on one
    port, and for more of a pool that holds GPUs: which GPUs they get is decided when the topology is planned.
    """
    for pool, count in replicas.items():
        plan = _with_pool(plan, pool, count, models.get(pool), ports, taken)
    return plan


def _with_pool(
    plan: Plan, pool: str, count: int, model: ProcessSpec | None, ports: Iterator[int], taken: Collection[str]
) -> Plan:
    if not 0 <= count <= MOST_REPLICAS:
        raise UsageError(f"{pool}={count}: must be between 0 and {MOST_REPLICAS}")
    if model is None:
        raise UsageError(f"{pool} has no replica to copy; give it one in the topology")
    if model.kind == "service":
        raise UsageError(f"{pool} is one process; only pools of workers and the frontends can be scaled")
    present = sorted((p for p in plan.processes if p.pool == pool), key=lambda p: p.replica)
    if count > len(present) and model.gpus:
        raise UsageError(f"{pool} holds GPUs: write replicas = {count} in the topology and `dynamo apply` it")
    if count > max(len(present), 1) and (port := system_port(model)):
        raise UsageError(f"{pool}={count}: they cannot all listen on port {port} ({SYSTEM_PORT}); 0 takes any free one")
    used = {place_of(p.name) for p in present[:count]} | {place_of(name) for name in taken}
    free = (i for i in itertools.count() if f"{pool}-{i}" not in used)
    members = [*present[:count], *(copied(model, next(free), ports) for _ in range(count - len(present)))]
    end = 0 if model.kind == "frontend" else len(plan.processes)
    place = next((at for at, p in enumerate(plan.processes) if p.pool == pool), end)
    after = (p for p in plan.processes[place:] if p.pool != pool)
    return msgspec.structs.replace(plan, processes=(*plan.processes[:place], *members, *after))


def copied(model: ProcessSpec, replica: int, ports: Iterator[int]) -> ProcessSpec:
    """Another replica, with a name and ports of its own wherever its model's stand in command and environment."""
    return msgspec.structs.replace(moved(model, ports), name=f"{model.pool}-{replica}", replica=replica)


def moved(model: ProcessSpec, ports: Iterator[int]) -> ProcessSpec:
    """The same with other ports, wherever they stand in command and environment."""
    changed = {number: next(ports) for number in model.ports.values()}

    def told(text: str) -> str:
        return re.sub(r"(?<!\d)\d+(?!\d)", lambda found: str(changed.get(int(found[0]), found[0])), text)

    return msgspec.structs.replace(
        model,
        ports={name: changed[number] for name, number in model.ports.items()},
        argv=tuple(map(told, model.argv)) if changed else model.argv,
        env={name: told(value) for name, value in model.env.items()} if changed else model.env,
    )
