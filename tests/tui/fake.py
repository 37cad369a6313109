"""A deployment whose supervisor is an object that tells what the test wants and notes what it is asked."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from typing import Any, cast

from dynamo_cli.errors import NotReady, UsageError
from dynamo_cli.logs.files import log_file
from dynamo_cli.protocol.detail import ServiceDetail
from dynamo_cli.runtime.control import ControlClient, DeploymentStatus, Event
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.deployments import Deployment
from dynamo_cli.supervisor.processes import identify
from dynamo_cli.supervisor.record import Record, write


class FakeClient:
    """`orders`: what it was asked to do, in order. `refusal`: what it answers to that instead."""

    def __init__(self, status: DeploymentStatus) -> None:
        self.told = status
        self.details: dict[str, ServiceDetail] = {}
        self.gone = False
        self.refusal = ""
        self.orders: list[Any] = []
        self._events: queue.Queue[Event | None] = queue.Queue()

    def status(self) -> DeploymentStatus:
        self._answers()
        return self.told

    def detail(self, name: str) -> ServiceDetail:
        self._answers()
        if name not in self.details:
            raise UsageError(f"no service {name}")
        return self.details[name]

    def events(self) -> Iterator[Event]:
        self._answers()
        while event := self._events.get():
            yield event

    def happens(self) -> None:
        """Something does, and whoever listens looks again."""
        self._events.put(Event(time=0.0))

    def act(self, action: str, names: list[str], *, rolling: bool = False, surge: int = 1) -> int:
        self._note((action, *names, *(["rolling"] if rolling else [])))
        return 1

    def scale(self, replicas: dict[str, int]) -> None:
        self._note(replicas)

    def stop(self, force: bool = False) -> None:
        self._note("force" if force else "stop all")

    def detach(self) -> None:
        self._note("detach")

    def close(self) -> None:
        self._events.put(None)

    def _note(self, order: object) -> None:
        self._answers()
        if self.refusal:
            raise UsageError(self.refusal)
        self.orders.append(order)

    def _answers(self) -> None:
        if self.gone:
            raise NotReady("no supervisor answers")


class FakeDeployment(Deployment):
    fake: FakeClient

    @property
    def client(self) -> ControlClient:
        return cast(ControlClient, self.fake)

    def log(self, service: str, *lines: str, ended: str = "\n") -> None:
        """It writes these lines."""
        with log_file(self.paths, service).open("a") as file:
            file.write("".join(f"{line}{ended}" for line in lines))

    def ends(self, reason: str = "") -> None:
        """Its supervisor has gone, in good order."""
        self.record.state, self.record.reason = "STOPPED", reason
        write(self.paths.state, self.record)
        self.fake.gone = True
        self.fake.happens()


def fake_deployment(status: DeploymentStatus) -> FakeDeployment:
    """In $DYNAMO_HOME, with nothing but its directories and its record."""
    paths = DeploymentPaths(status.deployment)
    paths.ensure()
    supervisor = identify(os.getpid())
    assert supervisor
    record = Record(deployment=status.deployment, deployment_id="1234", supervisor=supervisor, state=status.state)
    write(paths.state, record)
    deployment = FakeDeployment(paths, record)
    deployment.fake = FakeClient(status)
    return deployment
