"""PROMETHEUS_MULTIPROC_DIR: where the processes of an engine leave their metrics for each other."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from dynamo_cli.errors import ResourceMissing
from dynamo_cli.runtime.paths import is_alive

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "metrics-"
_log = logging.getLogger("dynamo.worker")


class MetricsFiles:
    """A directory of this worker's own, unless the variable names one already; those of dead workers go.

    Raises ResourceMissing when it cannot be made.
    """

    def __init__(self, runtime_dir: Path) -> None:
        named = os.environ.get(VARIABLE)
        self._own = None if named else runtime_dir / f"{_PREFIX}{os.getpid()}"
        self._runtime_dir = runtime_dir
        directory = Path(named) if named else self._own
        assert directory is not None
        self._tidy()
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ResourceMissing(f"{VARIABLE} {directory}: cannot be made: {error.strerror}") from None
        os.environ[VARIABLE] = str(directory)

    def close(self) -> None:
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)
            os.environ.pop(VARIABLE, None)
        self._tidy()

    def _tidy(self) -> None:
        for left in self._runtime_dir.glob(f"{_PREFIX}*"):
            pid = left.name.removeprefix(_PREFIX)
            if pid.isdecimal() and not is_alive(int(pid)):
                _log.debug("removing %s of a worker that has died", left)
                shutil.rmtree(left, ignore_errors=True)
