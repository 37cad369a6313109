"""The machine around a process that failed, as a value."""

from __future__ import annotations

import msgspec

from dynamo_cli.gpus.health import Driver


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """The machine soon after. `gpus` None where the process had none, with `gpus_reason` for those not told of.

    `environment`: the variables that say how an engine runs; `other_variables`: the names of all others.
    """

    environment: dict[str, str] = {}
    other_variables: tuple[str, ...] = ()
    memory: dict[str, str] = {}
    gpus: Driver | None = None
    gpus_reason: str = ""
    versions: dict[str, str] = {}
