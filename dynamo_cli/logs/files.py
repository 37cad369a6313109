"""Where the log files of a deployment are: those of this run, their archives, and those of the run before.

`NAME.log` is written to; `NAME.N.log.gz` are its older parts, the highest N the latest, without `.gz` while they are
being compressed. Standard library only: the keeper uses it.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dynamo_cli.runtime.paths import DeploymentPaths

OWN_LOG = "supervisor"
"""The name of the supervisor's own log among those of its services."""
ARCHIVED = re.compile(r"\.(\d+)\.log(\.gz)?$")


def log_file(paths: DeploymentPaths, service: str) -> Path:
    return paths.logs / f"{service}.log"


def archives(file: Path) -> list[Path]:
    """The older parts of a log file, the oldest first."""
    numbers: dict[int, Path] = {}
    for part in file.parent.glob(f"{file.stem}.*.log*"):
        found = ARCHIVED.search(part.name)
        if found and part.name[: found.start()] == file.stem:
            number = int(found[1])
            if number not in numbers or part.suffix == ".gz":
                numbers[number] = part
    return [numbers[number] for number in sorted(numbers)]


def archive_number(archive: Path) -> int:
    found = ARCHIVED.search(archive.name)
    return int(found[1]) if found else 0


def set_aside(paths: DeploymentPaths) -> None:
    """Begin a new run: the last run's files move to `logs/previous`, in place of those of the run before it."""
    previous = paths.logs / "previous"
    shutil.rmtree(previous, ignore_errors=True)
    previous.mkdir(mode=0o700)
    for file in paths.logs.glob("*.log*"):
        file.rename(previous / file.name)
