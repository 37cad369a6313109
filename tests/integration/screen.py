"""`dynamo` with a stand-in for the screen that does what SCREEN says: `python screen.py up FILE`."""

from __future__ import annotations

import os
import sys
import time
import types
from typing import Any

from dynamo_cli.cli.main import run
from dynamo_cli.errors import DynamoError
from dynamo_cli.supervisor.deployments import Deployment


def show(deployment: Deployment, *, owns: bool) -> str:
    say(f"\x1b[?1049hscreen owns={owns}")
    for what in os.environ["SCREEN"].split():
        if ending := STEPS[what](deployment):
            say(f"screen {ending}\x1b[?1049l")
            return str(ending)
    raise AssertionError("a screen ends")


def until_ready(deployment: Deployment) -> None:
    while deployment.client.status().state != "READY":
        time.sleep(0.02)
    say("screen READY")


def until_ended(deployment: Deployment) -> str:
    try:
        while True:
            deployment.client.status()
            time.sleep(0.02)
    except DynamoError:
        return "ended"


def stop(deployment: Deployment) -> str:
    deployment.client.stop()
    until_ended(deployment)
    return "stopped"


def leave(deployment: Deployment) -> str:
    detach(deployment)
    return "left"


def detach(deployment: Deployment) -> None:
    deployment.client.detach()
    say("screen detached")


def crash(deployment: Deployment) -> None:
    os.system("stty raw -echo")
    raise ValueError("no such\nwidget")


def die(deployment: Deployment) -> None:
    os.kill(os.getpid(), 9)


STEPS: dict[str, Any] = {
    "ready": until_ready,
    "watch": until_ended,
    "stop": stop,
    "leave": leave,
    "detach": detach,
    "crash": crash,
    "die": die,
}


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    if os.environ["SCREEN"] == "missing":
        sys.modules["textual"] = None  # type: ignore[assignment]
        sys.modules.pop("dynamo_cli.tui", None)
    else:
        stand_in = types.ModuleType("dynamo_cli.tui")
        stand_in.run = show  # type: ignore[attr-defined]
        sys.modules["dynamo_cli.tui"] = stand_in
    sys.exit(run(sys.argv[1:]))
