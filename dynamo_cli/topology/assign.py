"""Gives the GPUs of the inventory to replicas: those listed by id first, then the best sets of the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dynamo_cli.errors import ResourceMissing, TopologyError
from dynamo_cli.gpus.allocate import Request, allocate, fits, only_parts
from dynamo_cli.gpus.gpu import Gpu
from dynamo_cli.gpus.reasons import choice_words, left_out
from dynamo_cli.gpus.usable import crowding, holders_words, memory_words, obstacle
from dynamo_cli.gpus.visible import find_gpu, instances_of
from dynamo_cli.topology.parts import Pool, Topology


class Given(NamedTuple):
    """The GPUs of one replica, and why it has these."""

    gpus: tuple[Gpu, ...] = ()
    reason: str = ""


class GpuAssigner:
    """Hands each GPU to one replica, unless the topology lists it for several."""

    def __init__(
        self,
        gpus: Sequence[Gpu],
        reason: str,
        topology: Topology,
        held: Mapping[str, str],
        kept: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """`held`: the deployment that has a GPU already, by the GPU's UUID. `kept`: the UUIDs a replica has now."""
        self._gpus = gpus
        self._reason = reason
        self._topology = topology
        self._held = held
        self._taken = {uuid: f"deployment {name}" for uuid, name in held.items()} | self._listed()
        self._kept = kept or {}
        self._going_on: dict[tuple[str, int], tuple[Gpu, ...]] = {}
        self.warnings: list[str] = []
        self.notes: tuple[str, ...] = ()

    def left(self) -> int:
        """How many could be given to somebody: whole GPUs, or MIG instances where there are no others."""
        return sum(gpu.uuid not in self._taken and not obstacle(gpu) for gpu in self._units)

    def give(self, wants: Sequence[tuple[Pool, int]]) -> dict[tuple[str, int], Given]:
        """By pool and replica; the number is that of GPUs each replica of the pool wants.

        Raises ResourceMissing when the machine is short, TopologyError for a list that cannot be.
        """
        given = {(pool.name, at): self._choice(pool) for pool, _ in wants for at in range(pool.replicas)}
        chosen = [(pool, count) for pool, count in wants if not isinstance(pool.gpus, tuple) and count]
        self._keep(chosen)
        for (name, at), gpus in self._going_on.items():
            given[name, at] = Given(gpus, choice_words(gpus))
        for (pool, at, _), gpus in zip(self._open(chosen), self._allocated(chosen), strict=True):
            given[pool.name, at] = Given(gpus, choice_words(gpus))
            self.warnings += [_crowded(pool, gpu) for gpu in gpus if crowding(gpu, pool.gpu_memory)]
        self._note(chosen, given)
        return given

    def _choice(self, pool: Pool) -> Given:
        """What a list says; nothing for a pool that leaves the choice to us."""
        if not isinstance(pool.gpus, tuple):
            return Given()
        gpus = tuple(self._named(pool, str(name)) for name in pool.gpus)
        for at, gpu in enumerate(gpus):
            if gpu in gpus[:at]:
                raise self._wrong_list(pool, f"{gpu.words} is listed twice: {gpu.uuid} is {pool.gpus[at]} too")
            if gpu.profile and len(gpus) > 1:
                raise self._wrong_list(pool, f"a process can use one MIG instance, {len(gpus)} are listed")
            if why := obstacle(gpu, pool.gpu_memory):
                self.warnings.append(f"pool {pool.name}: {gpu.words}: {why}")
        return Given(gpus, f"{choice_words(gpus)}; listed in the topology" if gpus else "")

    def _keep(self, wants: Sequence[tuple[Pool, int]]) -> None:
        """Leave replicas that go on the GPUs they have, if these are as many as are wanted, and nobody else's."""
        for pool, count in wants:
            for at in range(pool.replicas):
                found = [find_gpu(self._gpus, uuid) for uuid in self._kept.get(f"{pool.name}-{at}", ())]
                gpus = tuple(gpu for gpu in found if gpu is not None and gpu.uuid not in self._taken)
                if gpus and len(gpus) == len(found) == count:
                    self._going_on[pool.name, at] = gpus
                    self._taken |= {gpu.uuid: _owner(pool.name) for gpu in gpus}

    def _open(self, wants: Sequence[tuple[Pool, int]]) -> list[tuple[Pool, int, int]]:
        """Replicas to choose for: each pool with the number of each, and the GPUs it wants."""
        return [
            (pool, at, count)
            for pool, count in wants
            for at in range(pool.replicas)
            if (pool.name, at) not in self._going_on
        ]

    def _allocated(self, wants: Sequence[tuple[Pool, int]]) -> list[tuple[Gpu, ...]]:
        requests = [_request(pool, count) for pool, _, count in self._open(wants)]
        found = allocate(self._gpus, requests, self._taken)
        if found is None:
            raise ResourceMissing(self._short(wants))
        return found

    def _short(self, wants: Sequence[tuple[Pool, int]]) -> str:
        """Of the first pool that cannot be served beside those before it."""
        sizes = range(1, len(wants) + 1)

        def served(size: int) -> bool:
            requests = [_request(pool, count) for pool, _, count in self._open(wants[:size])]
            return allocate(self._gpus, requests, self._taken) is not None

        size = next((size for size in sizes if not served(size)), len(wants))
        (pool, wanted), before = wants[size - 1], wants[: size - 1]
        total = wanted * pool.replicas
        each = f" ({pool.replicas} replicas of {wanted})" if pool.replicas > 1 else ""
        owners = [owner for owner in self._taken.values() if owner != _owner(pool.name)]
        owners += [_owner(other.name) for other, count in before for _ in range(count * other.replicas)]
        others = f", {len(owners)} of them given to {' and '.join(dict.fromkeys(owners))}" if owners else ""
        out = [line for line in left_out(self._gpus, [], {}, pool.gpu_memory) if not pool.mig or "MIG" in line]
        blocked = "".join(f"; {line}" for line in out)
        what = f"{total} {pool.mig}" if pool.mig else _count(total)
        return f"pool {pool.name} wants {what}{each}, found {self._there(pool)}{others}{blocked}; {self._help(pool)}"

    def _listed(self) -> dict[str, str]:
        """UUID -> owner of the GPUs that a topology names."""
        lists = {pool.name: pool.gpus for pool in self._topology.workers.values() if isinstance(pool.gpus, tuple)}
        named = [(find_gpu(self._gpus, str(name)), pool) for pool, names in lists.items() for name in names]
        return {gpu.uuid: _owner(pool) for gpu, pool in named if gpu}

    def _named(self, pool: Pool, name: str) -> Gpu:
        gpu = find_gpu(self._gpus, name)
        if gpu is None:
            raise ResourceMissing(f"pool {pool.name} wants GPU {name}, found {self._there(pool)}; {self._help(pool)}")
        if gpu.mig:
            parts = ", ".join(f"{part.uuid} ({part.profile})" for part in instances_of(gpu, self._gpus))
            raise ResourceMissing(
                f"pool {pool.name} wants GPU {name}, which is in MIG mode; "
                + (f'list its instances: {parts}, or write gpus = "mig"' if parts else "it has no instances")
            )
        if gpu.uuid in self._held:
            holder = self._held[gpu.uuid]
            raise ResourceMissing(
                f"pool {pool.name} wants GPU {name}, which deployment {holder} has; take another one, "
                f"`dynamo down {holder}`, or let them share it with --share-gpus"
            )
        return gpu

    def _wrong_list(self, pool: Pool, what: str) -> TopologyError:
        _, prefix = self._topology.places.locate(("workers", pool.name, "gpus"))
        return TopologyError([f"{prefix}{what}"])

    def _note(self, wants: Sequence[tuple[Pool, int]], given: Mapping[tuple[str, int], Given]) -> None:
        """Of whole GPUs when such were chosen, of MIG instances when those were."""
        parts = any(gpu.profile for each in given.values() for gpu in each.gpus)
        seen = [gpu for gpu in self._gpus if bool(gpu.profile) == parts] if wants else []
        used = [gpu.uuid for each in given.values() for gpu in each.gpus]
        memory = min((pool.gpu_memory for pool, _ in wants), default=0)
        self.notes = tuple(left_out(seen, used, self._taken, memory))

    @property
    def _units(self) -> list[Gpu]:
        parts = only_parts(self._gpus)
        return [gpu for gpu in self._gpus if bool(gpu.profile) == parts]

    def _there(self, pool: Pool) -> str:
        parts = bool(pool.mig) or only_parts(self._gpus)
        units = [gpu for gpu in self._gpus if bool(gpu.profile) == parts]
        fitting = sum(fits(gpu, pool.mig) for gpu in units) if parts else len(units)
        what = f"{fitting} MIG instance{'s' * (fitting != 1)}" if parts and units else _count(len(units))
        reason = f" ({self._reason})" if self._reason else ""
        ids = ", ".join(f"{gpu.words if gpu.profile else gpu.index} = {gpu.uuid}" for gpu in units)
        return (what if units else "none") + reason + (f": {ids}" if ids else "")

    def _help(self, pool: Pool) -> str:
        smaller = f", a smaller workers.{pool.name}.replicas" if pool.replicas > 1 else ""
        down = "".join(f"`dynamo down {name}`, " for name in dict.fromkeys(self._held.values()))
        return f"{down}set workers.{pool.name}.gpus = 0{smaller} or another workers.{pool.name}.engine"


def _request(pool: Pool, count: int) -> Request:
    return Request(count, pool.gpu_memory, pool.mig)


def _owner(pool: str) -> str:
    return f"pool {pool}"


def _count(number: int) -> str:
    return f"{number} GPU{'' if number == 1 else 's'}"


def _crowded(pool: Pool, gpu: Gpu) -> str:
    free = f"only {memory_words(gpu.memory_free)} of {memory_words(gpu.memory_total)} free"
    users = f": {holders_words(gpu.holders)}" if gpu.holders else ""
    return f"pool {pool.name}: {gpu.words} has {free}{users}"
