"""`up` with a screen: its supervisor is a process of its own that ends when this `up` does, unless it was detached."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dynamo_cli.errors import NotReady
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.deployments import Deployment, open_deployment
from dynamo_cli.supervisor.exits import INTERRUPTED
from dynamo_cli.supervisor.launch import daemon as daemons
from dynamo_cli.supervisor.launch.claim import Claim
from dynamo_cli.supervisor.launch.complaint import complaint
from dynamo_cli.supervisor.launch.outcome import Outcome
from dynamo_cli.supervisor.launch.screen import Ending, ScreenFailed, Show, shown
from dynamo_cli.supervisor.lifeline import LastWords, Lifeline

POLL_S = 0.02
LAST_S = 5.0
"""How long a supervisor may take to exit after its last words."""

Tell = Callable[[str], object]


def run_screened(held: Claim, show: Show, tell: Tell) -> Outcome:
    """Run the deployment until its user stops or leaves it, Ctrl-C, SIGTERM, `down`, or until nothing can serve.

    When `show` fails the deployment is stopped; `tell` hears why.
    """
    paths, lifeline = held.assignment.paths, Lifeline()
    try:
        daemon = daemons.start(held, lifeline)
    finally:
        lifeline.given()
        held.release()
    with contextlib.closing(lifeline), _ended_by_sigterm(lifeline):
        exit_code = _show(daemon, paths, lifeline, show, tell)
        if exit_code is None:
            return Outcome(0, farewell=goes_on(paths.deployment))
        words = _last_words(lifeline)
    if words is None:
        return _without_words(daemon, paths, exit_code)
    with contextlib.suppress(subprocess.TimeoutExpired):
        daemon.wait(LAST_S)
    return _outcome(paths, words, exit_code)


def goes_on(name: str) -> str:
    return f"{name} goes on; `dynamo attach {name}` shows it, `dynamo down {name}` stops it"


def _show(
    daemon: subprocess.Popen[bytes], paths: DeploymentPaths, lifeline: Lifeline, show: Show, tell: Tell
) -> int | None:
    """The exit code that its ending means, 0 when it is the supervisor's to say; None when it was left running."""
    try:
        deployment = _answering(daemon, paths)
        ending: Ending = shown(deployment, show) if deployment else "ended"
    except KeyboardInterrupt:
        tell("stopping in order; Ctrl-C again ends it at once")
        lifeline.ask_for_the_end()
        return INTERRUPTED
    except ScreenFailed as failure:
        tell(f"dynamo: {failure}")
        lifeline.ask_for_the_end()
        return failure.exit_code
    return {"stopped": INTERRUPTED, "ended": 0, "left": None}[ending]


def _answering(daemon: subprocess.Popen[bytes], paths: DeploymentPaths) -> Deployment | None:
    """The deployment once its supervisor answers; None when that has ended before."""
    while daemon.poll() is None:
        found = open_deployment(paths.deployment)
        if found and found.record.supervisor.pid == daemon.pid:
            with contextlib.suppress(NotReady):
                found.client.status()
                return found
        time.sleep(POLL_S)
    return None


def _last_words(lifeline: Lifeline) -> LastWords | None:
    try:
        return lifeline.last_words()
    except KeyboardInterrupt:
        lifeline.ask_for_the_end(now=True)
        return _last_words(lifeline)


def _outcome(paths: DeploymentPaths, words: LastWords, exit_code: int) -> Outcome:
    if words.failed:
        return Outcome(words.exit_code, words.status, complaint(paths, words.status))
    return Outcome(exit_code or words.exit_code, words.status, farewell=f"{paths.deployment} is down")


def _without_words(daemon: subprocess.Popen[bytes], paths: DeploymentPaths, exit_code: int) -> Outcome:
    """It was detached meanwhile, or killed."""
    found = open_deployment(paths.deployment)
    if found and found.record.detached and found.record.supervised:
        return Outcome(exit_code, farewell=goes_on(paths.deployment))
    daemons.abandon(daemon, paths)
    return Outcome(1, None, daemons.obituary(daemon, paths))


@contextmanager
def _ended_by_sigterm(lifeline: Lifeline) -> Iterator[None]:
    """The first SIGTERM asks for the end in order, another one does not wait for that."""
    asked: list[int] = []

    def ask(*_: object) -> None:
        lifeline.ask_for_the_end(now=bool(asked))
        asked.append(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
