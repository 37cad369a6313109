"""How engines die by themselves."""

from __future__ import annotations

import psutil

from dynamo_cli.workers.engine import Engine


def crash_child(engine: Engine) -> None:
    """The engine's process is killed: of its children of this process, the newest."""
    children = psutil.Process().children()
    max(children, key=lambda child: child.create_time()).kill()


def crash_theirs(engine: Engine) -> None:
    """A user's engine says that it died."""
    engine._user.died.set()  # type: ignore[attr-defined]


def crash_task(engine: Engine) -> None:
    """The mock engine's loop breaks in its next step."""

    def broken(now: float) -> None:
        raise RuntimeError("broken on purpose")

    engine._simulator.step = broken  # type: ignore[attr-defined]
    engine._wake.set()  # type: ignore[attr-defined]
