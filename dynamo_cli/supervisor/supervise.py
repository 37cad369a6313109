"""The life of a supervisor that is a process of its own."""

from __future__ import annotations

import asyncio
import signal

from dynamo_cli.supervisor.assignment import Assignment
from dynamo_cli.supervisor.lifeline import LastWords
from dynamo_cli.supervisor.supervisor import Supervisor


async def supervise(assignment: Assignment) -> None:
    """Until it is asked to end, by a command, a signal, or the end of the `up` that it is tied to."""
    supervisor, tether = Supervisor(assignment), assignment.tether
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, supervisor.stop)

    def end() -> None:
        if not supervisor.stopping:
            supervisor.stop()

    if tether:
        tether.watch(end, lambda: supervisor.stop(force=True))
    await supervisor.run()
    if tether:
        tether.tell(LastWords(supervisor.exit_code, bool(supervisor.failure), supervisor.status))
