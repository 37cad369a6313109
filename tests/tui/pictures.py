"""`python -m tests.tui.pictures [DIRECTORY]`: the pictures of the terminal UI, taken of the app. `make pictures`."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from textual.pilot import Pilot

from dynamo_cli.supervisor.launch.screen import Ending
from dynamo_cli.tui.app import DeploymentApp
from dynamo_cli.tui.history import History
from tests.tui.real_picture import take_real
from tests.tui.scenes import SCENES, Scene

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
REAL = "ready"
"""That of the README, of a deployment; the others are of prepared states."""


class Picture(NamedTuple):
    """`keys` are pressed first."""

    scene: str
    width: int
    height: int
    keys: tuple[str, ...] = ()


TAKEN = {
    "starting": Picture("starting", 120, 36),
    "under-load": Picture("under-load", 120, 36),
    "one-failed": Picture("one-failed", 120, 36),
    "all-failed": Picture("all-failed", 120, 36),
    "small": Picture("under-load", 80, 24),
    "large": Picture("under-load", 200, 60, ("down", "down", "down", "down")),
}


async def shown(scene: Scene, pilot: Pilot[Ending]) -> None:
    """With the past of the scene in its graphs, and all of its lines read."""
    app = pilot.app
    assert isinstance(app, DeploymentApp)
    app._history = History()
    for second, traffic in enumerate(scene.past):
        app._history.note(traffic, float(second))
    for _ in range(100):
        await pilot.pause(0.02)
        if app._logs.pane.lines >= sum(map(len, scene.logs.values())) and app.status.services:
            break
    app._draw()
    await pilot.pause()


async def take(picture: Picture, file: Path) -> None:
    scene = SCENES[picture.scene]()
    deployment = scene.begin()
    app = DeploymentApp(deployment, owns=True)
    async with app.run_test(size=(picture.width, picture.height)) as pilot:
        await shown(scene, pilot)
        await pilot.press(*picture.keys)
        await pilot.pause()
        file.write_text(app.export_screenshot(title=f"dynamo up {scene.status.topology}"))
        deployment.fake.close()


async def take_all(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, picture in TAKEN.items():
        with tempfile.TemporaryDirectory() as home:
            os.environ["DYNAMO_HOME"] = os.environ["XDG_RUNTIME_DIR"] = home
            await take(picture, directory / f"{name}.svg")
    await take_real(directory / f"{REAL}.svg")


if __name__ == "__main__":
    asyncio.run(take_all(Path(sys.argv[1]) if sys.argv[1:] else PICTURES))
