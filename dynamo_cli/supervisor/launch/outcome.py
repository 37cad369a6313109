"""How an `up` ended."""

from __future__ import annotations

from typing import NamedTuple

from dynamo_cli.runtime.control import DeploymentStatus


class Outcome(NamedTuple):
    """The exit code, the last status, and what to tell: `complaint` on stderr, why it failed, `farewell` on stdout."""

    exit_code: int
    status: DeploymentStatus | None = None
    complaint: str = ""
    farewell: str = ""
