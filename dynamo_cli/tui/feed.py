"""Asks the supervisor a few times a second, in threads of its own, and at once when something happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from dynamo_cli.errors import DynamoError, NotReady
from dynamo_cli.logs.files import log_file
from dynamo_cli.logs.tail import last_lines
from dynamo_cli.protocol.detail import ServiceDetail
from dynamo_cli.runtime.control import DeploymentStatus
from dynamo_cli.supervisor.deployments import Deployment, open_deployment, status_of
from dynamo_cli.tui.panes.trouble import first_failed

CALM_S, EAGER_S = 1.0, 0.4
"""Between two questions: when all is well, and while something changes."""
SHORTEST_S = 0.2
"""However much happens."""
LISTEN_AGAIN_S = 0.5
LAST_WORDS = 5


class News(NamedTuple):
    """`status`: None when there is none yet. `gone`: how the supervisor went, "" while it is there.

    `detail`: of the service that is looked at. `last_words`: of the first one that failed, when all is lost.
    """

    status: DeploymentStatus | None = None
    gone: str = ""
    detail: ServiceDetail | None = None
    last_words: tuple[str, ...] = ()


class Feed:
    """`tell` is called with what is new, in a thread. `watch` says of which service the detail is wanted."""

    def __init__(self, deployment: Deployment, tell: Callable[[News], object]) -> None:
        self._deployment = deployment
        self._client = deployment.client
        self._tell = tell
        self._watched = ""
        self._heard = False
        self._closed = False
        self._wake = threading.Event()

    def start(self) -> None:
        for name, work in (("status", self._ask), ("events", self._listen)):
            threading.Thread(name=name, target=work, daemon=True).start()

    def close(self) -> None:
        self._closed = True
        self._wake.set()

    def watch(self, service: str) -> None:
        if service != self._watched:
            self._watched = service
            self._wake.set()

    def _ask(self) -> None:
        while not self._closed:
            asked_at = time.monotonic()
            news = self.look()
            if not self._closed:
                self._tell(news)
            calm = news.status is not None and news.status.state == "READY" and not news.status.changes
            self._wake.wait(CALM_S if calm else EAGER_S)
            time.sleep(max(0.0, asked_at + SHORTEST_S - time.monotonic()))
            self._wake.clear()

    def _listen(self) -> None:
        while not self._closed:
            try:
                for _ in self._client.events():
                    self._wake.set()
            except DynamoError:
                pass
            self._wake.set()
            time.sleep(LISTEN_AGAIN_S)

    def look(self) -> News:
        """How it is now."""
        try:
            status = self._client.status()
        except NotReady:
            return self._without_supervisor()
        except DynamoError as error:
            return News(gone=str(error))
        self._heard = True
        return News(status, "", self._detail(), self._last_words(status))

    def _detail(self) -> ServiceDetail | None:
        try:
            return self._client.detail(self._watched) if self._watched else None
        except DynamoError:
            return None

    def _last_words(self, status: DeploymentStatus) -> tuple[str, ...]:
        failed = first_failed(status)
        return tuple(last_lines(log_file(self._deployment.paths, failed.name), LAST_WORDS)) if failed else ()

    def _without_supervisor(self) -> News:
        """It starts, it has ended in good order, or it has died: its record tells."""
        name = self._deployment.name
        found = open_deployment(name, self._deployment.paths.root.parent)
        if found is None:
            return News(gone=f"{name} has ended")
        try:
            status = status_of(found)
        except NotReady:
            status = None
        if status is None or found.record.state == "STOPPED":
            return News(gone=f"{name} has ended{f': {found.record.reason}' if found.record.reason else ''}")
        if status.state == "STARTING" and not self._heard:
            return News(status)
        return News(gone=status.reason or f"the supervisor of {name} does not answer", status=status)
