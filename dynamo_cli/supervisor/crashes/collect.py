"""Evidence of crashes, gathered beside the supervisor's loop."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from dynamo_cli.errors import ResourceMissing
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.crashes import keep
from dynamo_cli.supervisor.crashes.crash import Crash

logger = logging.getLogger("dynamo.supervisor")

CLOSE_S = 8.0
"""Longer than a driver that hangs is waited for."""


class Collector:
    """`collect` returns at once; `close` waits for what is still being gathered."""

    def __init__(self, paths: DeploymentPaths, environ: Mapping[str, str] = os.environ) -> None:
        self._paths = paths
        self._environ = environ
        self._tasks: set[asyncio.Task[None]] = set()
        keep.drop_drafts(self._crashes)

    @property
    def _crashes(self) -> Path:
        return self._paths.logs / "crashes"

    def collect(self, crash: Crash, kept: Callable[[str], None]) -> None:
        """`kept` hears the directory once it is there."""
        task = asyncio.ensure_future(self._collect(crash, kept))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S)

    async def _collect(self, crash: Crash, kept: Callable[[str], None]) -> None:
        try:
            directory = await asyncio.to_thread(self._write, crash)
        except ResourceMissing as error:
            logger.warning("%s: %s", crash.spec.name, error)
            return
        kept(directory)
        logger.warning("%s: evidence in %s", crash.spec.name, directory)

    def _write(self, crash: Crash) -> str:
        # Late: a supervisor starts faster without what it seldom needs.
        from dynamo_cli.supervisor.crashes import report, snapshot
        from dynamo_cli.supervisor.crashes.secrets import shown
        from dynamo_cli.supervisor.crashes.surroundings import Surroundings

        environment = shown({**self._environ, **crash.spec.env})
        driver, reason = snapshot.gpus() if crash.spec.gpus else (None, "")
        around = Surroundings(
            environment=environment.variables,
            other_variables=environment.other_names,
            memory=snapshot.memory(),
            gpus=driver,
            gpus_reason=reason,
            versions=snapshot.versions(),
        )
        files = report.files(crash, around, environment.secrets | self._token())
        return str(keep.keep(self._crashes, keep.directory_name(crash.spec.name, crash.time), files))

    def _token(self) -> set[str]:
        try:
            return {self._paths.token.read_text().strip()} - {""}
        except OSError:
            return set()
