"""What stands above the services: the deployment, what is wrong, what it serves, its GPUs."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Size
from textual.widgets import Static

from dynamo_cli.runtime.control import DeploymentStatus
from dynamo_cli.tui.feed import News
from dynamo_cli.tui.history import History
from dynamo_cli.tui.panes.gpus import gpu_lines
from dynamo_cli.tui.panes.head import head
from dynamo_cli.tui.panes.traffic import traffic_lines
from dynamo_cli.tui.panes.trouble import is_lost, trouble

LOW, TALL = 30, 45
"""Heights of the screen: below the first graphs are one line high, from the second on four."""


class Overview(Vertical):
    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._parts = {part: Static(id=part) for part in ("head", "trouble", "traffic", "gpus")}

    def compose(self) -> ComposeResult:
        yield from self._parts.values()

    def show(self, status: DeploymentStatus, news: News, history: History, size: Size) -> None:
        self._show("head", [head(status, size.width, bool(news.gone))])
        self._show(
            "trouble",
            trouble(
                status, gone=news.gone, last_words=news.last_words, width=size.width - 1, most=size.height * 3 // 8
            ),
        )
        height = 2 if size.height < LOW else 3 if size.height < TALL else 5
        lines = traffic_lines(status.traffic, history, size.width - 1, height)
        self._show("traffic", lines if _serves(status) and not news.gone else [])
        low = size.height < LOW
        gpus = [] if low and is_lost(status) else status.measured_gpus
        self._show("gpus", gpu_lines(gpus, size.width - 1, low or len(gpus) > size.height // 4))

    def _show(self, part: str, lines: list[Content]) -> None:
        """Nothing of it when there are no lines."""
        place = self._parts[part]
        place.set_class(not lines, "empty")
        place.update(Content("\n").join(lines))


def _serves(status: DeploymentStatus) -> bool:
    """Whether there is traffic to speak of: what starts or has failed needs its room for that."""
    return status.state not in ("STARTING", "FAILED") and any(s.kind == "frontend" for s in status.services)
