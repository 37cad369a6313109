"""Asking a process that knows nothing of us: by HTTP, by its port, or by a command."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import NamedTuple
from urllib.parse import urlsplit

from dynamo_cli.runtime.http.client import request
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.runtime.within import within
from dynamo_cli.supervisor import spawn
from dynamo_cli.supervisor.exits import explain
from dynamo_cli.supervisor.spawn import Child
from dynamo_cli.topology.process import ProcessSpec

TIMEOUT_S = 5.0
LOOPBACK = "127.0.0.1"


class Answer(NamedTuple):
    """`reason`: why not, in one line. `loading`: it answers, but is not ready yet; `phase`: what it says it does."""

    ready: bool
    reason: str = ""
    loading: bool = False
    phase: str = ""


async def ask_http(url: str) -> Answer:
    """Ready when a GET answers 2xx or 3xx."""
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        status = await within(TIMEOUT_S, _status(parts.hostname or LOOPBACK, parts.port or 80, path))
    except (OSError, asyncio.TimeoutError) as error:
        return Answer(False, f"{url} does not answer: {error or 'no answer in time'}")
    ready = 200 <= status < 400
    return Answer(ready, "" if ready else f"{url} answers {status}", loading=not ready)


async def _status(host: str, port: int, path: str) -> int:
    async with await request((host, port), "GET", path) as answer:
        return answer.status


async def ask_tcp(port: int) -> Answer:
    """Ready when something accepts a connection on this host."""
    try:
        _, writer = await within(TIMEOUT_S, asyncio.open_connection(LOOPBACK, port))
    except (OSError, asyncio.TimeoutError):
        return Answer(False, f"nothing listens on port {port}")
    writer.transport.abort()
    return Answer(True)


class CommandProbes:
    """Ready when a command ends with 0. `pids`: the commands that run now, so that nobody else collects their end."""

    def __init__(self, paths: DeploymentPaths) -> None:
        self._paths = paths
        self.pids: set[int] = set()

    async def ask(self, spec: ProcessSpec) -> Answer:
        """Run the probe's command where and as the service runs; it is killed with its group after TIMEOUT_S."""
        name = spec.probe.command[0]
        try:
            child = self._start(spec)
        except OSError as error:
            return Answer(False, f"cannot run the probe {name}: {error.strerror}")
        self.pids.add(child.id.pid)
        try:
            code = await within(TIMEOUT_S, child.wait())
        except asyncio.TimeoutError:
            return Answer(False, f"the probe {name} took longer than {TIMEOUT_S:g} s")
        finally:
            child.signal(signal.SIGKILL, group=True)
            child.reap()
            self.pids.discard(child.id.pid)
        return Answer(code == 0, "" if code == 0 else f"the probe {name} {explain(code)}")

    def _start(self, spec: ProcessSpec) -> Child:
        environ = {**os.environ, **spec.env, "DYNAMO_DEPLOYMENT": self._paths.deployment}
        nowhere = os.open(os.devnull, os.O_RDWR)
        try:
            return spawn.start(spec.probe.command, environ, cwd=spec.cwd, output=nowhere, dies_with_us=True)
        finally:
            os.close(nowhere)
