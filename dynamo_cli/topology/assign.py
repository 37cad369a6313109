"""Gives the GPUs of the inventory to replicas: those listed by id first, then the freest of the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dynamo_cli.errors import ResourceMissing
from dynamo_cli.gpus.gpu import Gpu
from dynamo_cli.gpus.pick import pick_gpus
from dynamo_cli.gpus.visible import find_gpu
from dynamo_cli.topology.parts import Pool, Topology

_CROWDED = 0.1


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
        self._held = held
        self._taken = {uuid: f"deployment {name}" for uuid, name in held.items()} | self._listed(topology)
        self._kept = {name: uuids for name, uuids in (kept or {}).items() if not self._taken.keys() & set(uuids)}
        self._taken |= {uuid: f"replica {name}" for name, uuids in self._kept.items() for uuid in uuids}
        self.warnings: list[str] = []

    def left(self) -> int:
        return sum(gpu.uuid not in self._taken for gpu in self._gpus)

    def assign(self, pool: Pool, wanted: int, replica: str = "") -> tuple[Gpu, ...]:
        """The GPUs of one replica, those it has now if they do; raises ResourceMissing when the machine is short."""
        if isinstance(pool.gpus, tuple):
            return tuple(self._named(pool, str(name)) for name in pool.gpus)
        kept = tuple(gpu for uuid in self._kept.get(replica, ()) if (gpu := find_gpu(self._gpus, uuid)))
        if kept and len(kept) == wanted:
            self._taken |= {gpu.uuid: _owner(pool.name) for gpu in kept}
            return kept
        for uuid in self._kept.get(replica, ()):
            self._taken.pop(uuid, None)
        picked = pick_gpus(self._gpus, wanted, self._taken)
        if len(picked) < wanted:
            raise ResourceMissing(self._short(pool, wanted))
        self._taken |= {gpu.uuid: _owner(pool.name) for gpu in picked}
        self.warnings += [_crowded(pool, gpu) for gpu in picked if gpu.memory_free < _CROWDED * gpu.memory_total]
        return picked

    def _listed(self, topology: Topology) -> dict[str, str]:
        """UUID -> owner of the GPUs that a topology names."""
        lists = {pool.name: pool.gpus for pool in topology.workers.values() if isinstance(pool.gpus, tuple)}
        named = [(find_gpu(self._gpus, str(name)), pool) for pool, names in lists.items() for name in names]
        return {gpu.uuid: _owner(pool) for gpu, pool in named if gpu}

    def _named(self, pool: Pool, name: str) -> Gpu:
        gpu = find_gpu(self._gpus, name)
        if gpu is None:
            raise ResourceMissing(f"pool {pool.name} wants GPU {name}, found {self._there()}; {self._help(pool)}")
        if gpu.uuid in self._held:
            holder = self._held[gpu.uuid]
            raise ResourceMissing(
                f"pool {pool.name} wants GPU {name}, which deployment {holder} has; take another one, "
                f"`dynamo down {holder}`, or let them share it with --share-gpus"
            )
        return gpu

    def _short(self, pool: Pool, wanted: int) -> str:
        total = wanted * pool.replicas
        each = f" ({pool.replicas} replicas of {wanted})" if pool.replicas > 1 else ""
        given = [owner for owner in self._taken.values() if owner != _owner(pool.name)]
        others = f", {len(given)} of them given to {' and '.join(dict.fromkeys(given))}" if given else ""
        return f"pool {pool.name} wants {_count(total)}{each}, found {self._there()}{others}; {self._help(pool)}"

    def _there(self) -> str:
        reason = f" ({self._reason})" if self._reason else ""
        ids = f": {', '.join(f'{gpu.index} = {gpu.uuid}' for gpu in self._gpus)}" if self._gpus else ""
        return (_count(len(self._gpus)) if self._gpus else "none") + reason + ids

    def _help(self, pool: Pool) -> str:
        smaller = f", a smaller workers.{pool.name}.replicas" if pool.replicas > 1 else ""
        down = "".join(f"`dynamo down {name}`, " for name in dict.fromkeys(self._held.values()))
        return f"{down}set workers.{pool.name}.gpus = 0{smaller} or another workers.{pool.name}.engine"


def _owner(pool: str) -> str:
    return f"pool {pool}"


def _count(number: int) -> str:
    return f"{number} GPU{'' if number == 1 else 's'}"


def _crowded(pool: Pool, gpu: Gpu) -> str:
    free, total = gpu.memory_free / 2**30, gpu.memory_total / 2**30
    users = f", used by {len(gpu.processes)} process{'' if len(gpu.processes) == 1 else 'es'}" if gpu.processes else ""
    return f"pool {pool.name}: GPU {gpu.index} has only {free:.1f} of {total:.1f} GiB free{users}"
