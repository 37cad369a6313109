"""`up` without a screen: the supervisor runs within it, its lines go to the standard streams."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal

from dynamo_cli.logs.files import OWN_LOG, log_file
from dynamo_cli.logs.tail import LogFollower
from dynamo_cli.runtime.logs import configure_handler
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor import view
from dynamo_cli.supervisor.assignment import Assignment
from dynamo_cli.supervisor.exits import INTERRUPTED
from dynamo_cli.supervisor.launch.claim import Claim
from dynamo_cli.supervisor.launch.complaint import complaint
from dynamo_cli.supervisor.launch.interrupts import Interrupts
from dynamo_cli.supervisor.launch.outcome import Outcome
from dynamo_cli.supervisor.supervisor import Supervisor


def run_foreground(held: Claim, as_json: bool = False) -> Outcome:
    """Run the deployment until Ctrl-C, SIGTERM, `down`, or until nothing of it can serve any more."""
    with Interrupts() as interrupts:
        try:
            return asyncio.run(_foreground(held.assignment, as_json, interrupts))
        finally:
            held.release()


async def _foreground(assignment: Assignment, as_json: bool, interrupts: Interrupts) -> Outcome:
    names = [spec.name for spec in assignment.plan.processes]
    follower = LogFollower([(name, log_file(assignment.paths, name)) for name in [*names, OWN_LOG]])
    _log_to(assignment.paths)
    supervisor = Supervisor(assignment)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, lambda: supervisor.stop(exit_code=INTERRUPTED))
    loop.add_signal_handler(signal.SIGTERM, supervisor.stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup wants it
        loop.add_signal_handler(signal.SIGHUP, supervisor.stop)
    if interrupts.noted is not None:
        supervisor.stop(exit_code=INTERRUPTED if interrupts.noted == signal.SIGINT else 0)
    shown = view.open_view(names, as_json)
    showing = asyncio.ensure_future(
        view.show(shown, follower, assignment.paths, supervisor.bus, lambda: supervisor.status)
    )
    try:
        await supervisor.run()
    finally:
        supervisor.bus.close()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, showing.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await showing
    words = complaint(assignment.paths, supervisor.status) if supervisor.failure else ""
    return Outcome(supervisor.exit_code, supervisor.status, words)


def _log_to(paths: DeploymentPaths) -> None:
    configure_handler(logging.FileHandler(log_file(paths, OWN_LOG), encoding="utf-8"), stamped=True)
    logging.raiseExceptions = False  # or a full disk makes it print stacks on the terminal
