"""A supervisor as a process of its own: `python -m dynamo_cli.supervisor NAME`.

Started by `dynamo up -d`, by an `up` that shows a screen, and by whatever command finds a deployment without one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
from dataclasses import replace

from dynamo_cli.errors import DynamoError
from dynamo_cli.runtime.logs import configure_logging
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor import adopting
from dynamo_cli.supervisor.assignment import Assignment
from dynamo_cli.supervisor.lifeline import Tether
from dynamo_cli.supervisor.processes import identify
from dynamo_cli.supervisor.record import read_plan, read_record
from dynamo_cli.supervisor.recovery import recovered
from dynamo_cli.supervisor.supervise import supervise


def main(argv: list[str]) -> int:
    """Supervise the deployment whose plan and record the starter wrote; its lock and socket are inherited.

    With --lifeline-fd: until the `up` at its other end has gone. With --adopt: the living processes of one whose
    supervisor died.
    """
    parser = argparse.ArgumentParser(prog="dynamo_cli.supervisor")
    parser.add_argument("deployment")
    parser.add_argument("--lock-fd", type=int, required=True)
    parser.add_argument("--listen-fd", type=int)
    parser.add_argument("--lifeline-fd", type=int)
    parser.add_argument("--adopt", action="store_true")
    arguments = parser.parse_args(argv)
    configure_logging(stamped=True)
    asyncio.run(_run(arguments))
    return 0


async def _run(arguments: argparse.Namespace) -> None:
    assignment = _assignment(arguments)
    if arguments.adopt:
        assignment = await _taken_over(assignment)
    assignment.record.supervisor = identify(os.getpid()) or assignment.record.supervisor
    await supervise(assignment)


async def _taken_over(assignment: Assignment) -> Assignment:
    prepared = await adopting.prepare(assignment.paths, assignment.plan, assignment.record)
    return replace(assignment, **prepared._asdict())


def _assignment(arguments: argparse.Namespace) -> Assignment:
    for inherited in (arguments.lock_fd, arguments.listen_fd):
        if inherited is not None:
            os.set_inheritable(inherited, False)
    paths = DeploymentPaths(arguments.deployment)
    plan, record = read_plan(paths), read_record(paths)
    if record is None and arguments.adopt:
        record = recovered(paths)
    if plan is None or record is None:
        raise DynamoError(f"deployment {arguments.deployment} has no readable plan and state in {paths.root}")
    listener = socket.socket(fileno=arguments.listen_fd) if arguments.listen_fd is not None else None
    tether = Tether(arguments.lifeline_fd) if arguments.lifeline_fd is not None else None
    return Assignment(plan, paths, record, listener, tether=tether)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except DynamoError as failure:
        sys.stderr.write(f"dynamo: {failure}\n")
        sys.exit(failure.exit_code)
