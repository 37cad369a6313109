"""Following what starting processes write. Only theirs: a process that is ready may write as much as it likes."""

from __future__ import annotations

import time
from collections.abc import Callable

from dynamo_cli.logs.files import log_file
from dynamo_cli.logs.tail import Tail
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.phases.tables import rules_of
from dynamo_cli.supervisor.phases.tracker import LoadTracker, Stage
from dynamo_cli.topology.process import ProcessSpec

CHUNKS_A_LOOK = 4
"""Of 64 KiB: whoever writes faster than that while it starts is followed late, and costs no more."""


class Loads:
    """`begins` at each start of a service; `look` while it is not ready; `ended` when it is, or is no more."""

    def __init__(self, paths: DeploymentPaths, clock: Callable[[], float] = time.monotonic) -> None:
        self._paths = paths
        self._clock = clock
        self._followed: dict[str, tuple[Tail, LoadTracker]] = {}

    def begins(self, spec: ProcessSpec, offset: int) -> None:
        """`offset`: where in its log file this incarnation begins."""
        self.ended(spec.name)
        tail = Tail(spec.name, log_file(self._paths, spec.name), offset)
        self._followed[spec.name] = tail, LoadTracker(rules_of(spec.engine, spec.argv), self._clock())

    def look(self, service: str, said: str) -> Stage:
        """Where the service is now; `said`: the phase it tells itself, "" for none."""
        if service not in self._followed:
            return Stage()
        tail, tracker = self._followed[service]
        now = self._clock()
        tracker.say(said, now)
        for _ in range(CHUNKS_A_LOOK):
            tracker.hear([line.text for line in tail.read()], now)
            if tail.at_end:
                break
        if tail.unfinished:
            tracker.hear([tail.unfinished], now)
        return tracker.look(now)

    def ended(self, service: str) -> None:
        followed = self._followed.pop(service, None)
        if followed:
            followed[0].close()
