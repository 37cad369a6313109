"""Where the log files of a deployment are: those of this run, and those of the run before."""

from __future__ import annotations

import shutil
from pathlib import Path

from dynamo_cli.runtime.paths import DeploymentPaths

OWN_LOG = "supervisor"
"""The name of the supervisor's own log among those of its services."""


def log_file(paths: DeploymentPaths, service: str) -> Path:
    return paths.logs / f"{service}.log"


def set_aside(paths: DeploymentPaths) -> None:
    """Begin a new run: the last run's files move to `logs/previous`, in place of those of the run before it."""
    previous = paths.logs / "previous"
    shutil.rmtree(previous, ignore_errors=True)
    previous.mkdir(mode=0o700)
    for file in paths.logs.glob("*.log"):
        file.rename(previous / file.name)
