"""What is asked of this machine, and the facts that several groups of checks need."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dynamo_cli.doctor import children
from dynamo_cli.errors import TopologyError

if TYPE_CHECKING:
    from dynamo_cli.gpus.health import Driver
    from dynamo_cli.topology.parts import Topology

DRIVER_S = 5.0


class Asked(NamedTuple):
    """`thorough`: import everything and use the network. `topology`: the file to judge too, "" for none."""

    topology: str = ""
    thorough: bool = False
    gpus: bool = True
    engines: bool = True
    runtime_only: bool = False


class Machine:
    """Each fact is gathered when it is first needed."""

    def __init__(self, asked: Asked, environ: Mapping[str, str] = os.environ) -> None:
        self.asked = asked
        self.environ = environ

    @cached_property
    def driver(self) -> Driver:
        """Asked in a process of its own, which a driver may hang or crash."""
        from dynamo_cli.gpus import asking
        from dynamo_cli.gpus.health import Driver

        if not self.asked.gpus:
            return Driver(reason="not asked for")
        ended = children.run(asking.COMMAND, DRIVER_S)
        return asking.understood(*ended, DRIVER_S)

    @cached_property
    def topology(self) -> Topology | TopologyError | None:
        """The topology, what is wrong with it, or None when none is asked about."""
        if not self.asked.topology:
            return None
        from dynamo_cli.topology.load import load_topology

        try:
            return load_topology(Path(self.asked.topology), environ=self.environ)
        except TopologyError as problems:
            return problems

    @property
    def sound_topology(self) -> Topology | None:
        return None if isinstance(self.topology, TopologyError) else self.topology

    @property
    def asked_parallel(self) -> bool:
        """Whether the topology splits a model over GPUs."""
        pools = self.sound_topology.workers.values() if self.sound_topology else ()
        return any(pool.tensor_parallel > 1 for pool in pools)
