"""The app without a terminal: its keys pressed, its screen read."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from textual.geometry import Region
from textual.pilot import Pilot

from dynamo_cli.supervisor.deployments import Deployment
from dynamo_cli.supervisor.launch.screen import Ending
from dynamo_cli.tui.app import DeploymentApp
from tests.tui.fake import FakeClient, FakeDeployment
from tests.tui.scenes import Scene

PATIENCE_S = 20.0


class Shown(NamedTuple):
    app: DeploymentApp
    pilot: Pilot[Ending]

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def until(self, condition: Callable[[], object], what: str = "it") -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not come true on\n{self.text}"
            await self.pilot.pause(0.02)

    async def sees(self, *words: str) -> None:
        """These words come to stand on the screen."""
        for each in words:
            await self.until(lambda each=each: each in self.text, repr(each))  # type: ignore[misc]

    async def misses(self, *words: str) -> None:
        for each in words:
            await self.until(lambda each=each: each not in self.text, f"without {each!r}")  # type: ignore[misc]

    async def select(self, service: str) -> None:
        while self.app._services.selected != service:
            await self.press("down")

    @property
    def text(self) -> str:
        """What is on the topmost screen."""
        return "\n".join(self.lines)

    @property
    def lines(self) -> list[str]:
        return [strip.text.rstrip() for strip in self.app.screen._compositor.render_strips()]

    @property
    def title(self) -> str:
        """The line above the log, as it is drawn."""
        return "".join(strip.text for strip in self.app._logs._title.render_lines(Region(0, 0, self.app.size.width, 1)))

    @property
    def log(self) -> list[str]:
        """The visible lines of the log."""
        return self.app._logs.pane.visible_text.splitlines()


@asynccontextmanager
async def showing(
    deployment: Deployment, *, owns: bool = False, size: tuple[int, int] = (120, 36)
) -> AsyncIterator[Shown]:
    app = DeploymentApp(deployment, owns=owns)
    async with app.run_test(size=size, notifications=True) as pilot:
        yield Shown(app, pilot)
    if isinstance(deployment, FakeDeployment):
        deployment.fake.close()


@asynccontextmanager
async def showing_scene(
    scene: Scene, *, owns: bool = False, size: tuple[int, int] = (120, 36)
) -> AsyncIterator[tuple[Shown, FakeClient]]:
    """With all of its lines read."""
    deployment = scene.begin()
    async with showing(deployment, owns=owns, size=size) as shown:
        lines = sum(map(len, scene.logs.values()))
        await shown.until(lambda: shown.app._logs.pane.lines >= lines and shown.app._services.selected, "its lines")
        yield shown, deployment.fake
