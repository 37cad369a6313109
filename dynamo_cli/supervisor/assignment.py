"""What a supervisor is started with."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.adoption import Adoption
from dynamo_cli.supervisor.lifeline import Tether
from dynamo_cli.supervisor.record import Record
from dynamo_cli.topology.process import Plan


@dataclass(frozen=True)
class Assignment:
    """What a supervisor is given: the plan, the name's lock held by its starter, and the bound public socket.

    `adoption`: what it takes over from a supervisor that died, None when it begins from nothing. `tether`: to the `up`
    that shows the deployment, None for a supervisor that is detached, or within `up`.
    """

    plan: Plan
    paths: DeploymentPaths
    record: Record
    listener: socket.socket | None
    adoption: Adoption | None = None
    tether: Tether | None = None
