"""A failure as a value: what the supervisor knew of the process at its end."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dynamo_cli.runtime.control import Progress
from dynamo_cli.topology.process import ProcessSpec


class Crash(msgspec.Struct, frozen=True, kw_only=True):
    """`time` is seconds since the epoch; `code` negative for a signal; `words` what it means.

    `ready_s`: how long it had been READY, 0 when it never was. `phase` and `phases` as in ServiceStatus. `memory`:
    bytes it and its descendants held at the last looks, oldest first, where that was watched. `lines`: its last ones.
    """

    spec: ProcessSpec
    time: float
    code: int
    words: str
    hint: str = ""
    phase: str = ""
    progress: Progress | None = None
    phases: Mapping[str, float] = {}
    uptime_s: float = 0.0
    ready_s: float = 0.0
    restarts: int = 0
    memory: tuple[int, ...] = ()
    lines: tuple[str, ...] = ()
