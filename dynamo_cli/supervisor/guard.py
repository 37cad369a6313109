"""The guard of a foreground deployment: a small process that ends every child when the supervisor is gone.

It reads `+ pid start` and `- pid start` lines from a pipe that only the supervisor holds. The word `done` ends it
quietly; the end of the pipe without that word means that the supervisor died, and then nothing of the deployment may
stay.
"""

from __future__ import annotations

import os
import signal
import sys
import time

QUIET_PASSES = 5
PASS_S = 0.02


def main() -> None:
    """Run as `python guard.py DEPLOYMENT_ID` with the pipe as standard input."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [*(place for place in sys.path if place != here), os.path.dirname(os.path.dirname(here))]
    from dynamo_cli.supervisor.processes import ProcessId

    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    leaders: set[ProcessId] = set()
    for line in sys.stdin:
        words = line.split()
        if words == ["done"]:
            return
        if len(words) == 3 and words[0] in ("+", "-"):
            (leaders.add if words[0] == "+" else leaders.discard)(ProcessId(int(words[1]), int(words[2])))
    _end_everything(leaders, sys.argv[1])


def _end_everything(leaders: set, deployment_id: str) -> None:  # type: ignore[type-arg]
    from dynamo_cli.supervisor.processes import find, send

    marks = (f"DYNAMO_DEPLOYMENT_ID={deployment_id}".encode(),)
    quiet = 0
    while quiet < QUIET_PASSES:
        left = find(leaders, marks)
        for process in left:
            send(process.id, signal.SIGKILL)
        quiet = 0 if left else quiet + 1
        time.sleep(PASS_S)


if __name__ == "__main__":
    main()
