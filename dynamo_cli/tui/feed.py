"""Asks the supervisor a few times a second, in threads of its own, and at once when something happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from dynamo_cli.errors import DynamoError, NotReady
from dynamo_cli.logs.files import log_file
from dynamo_cli.logs.tail import last_lines
from dynamo_cli.protocol.detail import ServiceDetail
from dynamo_cli.runtime.control import DeploymentStatus, ServiceStatus
from dynamo_cli.supervisor.deployments import Deployment, open_deployment, status_of
from dynamo_cli.supervisor.health import OVER
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
        self._last = News()
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
        self._last = News(status, "", self._detail(), self._last_words(status))
        return self._last

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
        try:
            status = status_of(found) if found else None
        except NotReady:
            status = None
        if found is None or status is None or found.record.state == "STOPPED":
            return self._ended(found.record.reason if found else "")
        if status.state == "STARTING" and self._last.status is None:
            return News(status)
        return self._last._replace(gone=status.reason or f"the supervisor of {name} does not answer", status=status)

    def _ended(self, reason: str) -> News:
        """As it was at last, with nothing that runs any more."""
        words = f"{self._deployment.name} has ended{f': {reason}' if reason else ''}"
        status = self._last.status
        return self._last._replace(gone=words, status=at_rest(status, reason) if status else None)


def at_rest(status: DeploymentStatus, reason: str) -> DeploymentStatus:
    """The same when its last process has ended."""
    services = [service if service.state in OVER else _stopped(service) for service in status.services]
    return replace(status, state="STOPPED", reason=reason, services=services, traffic=None, changes=[], notes=[])


def _stopped(service: ServiceStatus) -> ServiceStatus:
    return replace(service, state="STOPPED", reason="", ready=False, pid=None, use=None, serving=None, phase="")
