"""A detached supervisor: `python -m dynamo_cli.supervisor NAME`, started by `dynamo up -d`."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys

from dynamo_cli.errors import DynamoError
from dynamo_cli.runtime.logs import configure_logging
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.launch import supervise
from dynamo_cli.supervisor.processes import identify
from dynamo_cli.supervisor.record import read_plan, read_record
from dynamo_cli.supervisor.supervisor import Assignment


def main(argv: list[str]) -> int:
    """Supervise the deployment whose plan and record the starter wrote; its lock and socket are inherited."""
    parser = argparse.ArgumentParser(prog="dynamo_cli.supervisor")
    parser.add_argument("deployment")
    parser.add_argument("--lock-fd", type=int, required=True)
    parser.add_argument("--listen-fd", type=int)
    arguments = parser.parse_args(argv)
    configure_logging(stamped=True)
    asyncio.run(supervise(_assignment(arguments)))
    return 0


def _assignment(arguments: argparse.Namespace) -> Assignment:
    for inherited in (arguments.lock_fd, arguments.listen_fd):
        if inherited is not None:
            os.set_inheritable(inherited, False)
    paths = DeploymentPaths(arguments.deployment)
    plan, record = read_plan(paths), read_record(paths)
    own = identify(os.getpid())
    if plan is None or record is None or own is None:
        raise DynamoError(f"deployment {arguments.deployment} has no readable plan and state in {paths.root}")
    record.supervisor = own
    listener = socket.socket(fileno=arguments.listen_fd) if arguments.listen_fd is not None else None
    return Assignment(plan, paths, record, listener)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
