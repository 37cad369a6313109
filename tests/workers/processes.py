"""Real worker processes in a deployment of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from dynamo_cli.protocol.engine import Delta
from dynamo_cli.protocol.instance import MODELS_PREFIX
from dynamo_cli.runtime.client import Client
from dynamo_cli.runtime.config import RuntimeConfig
from dynamo_cli.runtime.runtime import DistributedRuntime


class Worker:
    """`log` collects stderr."""

    def __init__(self, home: Path, *argv: str, **env: str) -> None:
        self.log_file = home / f"worker-{len(list(home.glob('worker-*')))}.log"
        command = [sys.executable, "-m", "dynamo_cli", *argv]
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **env})
        self.pid = self.process.pid

    @property
    def log(self) -> str:
        return self.log_file.read_text()


@contextmanager
def worker(home: Path, *argv: str, **env: str) -> Iterator[Worker]:
    started = Worker(home, *argv, **env)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()


@asynccontextmanager
async def peer() -> AsyncIterator[tuple[DistributedRuntime, Client]]:
    """A client of dynamo.backend.generate in the same deployment."""
    async with await DistributedRuntime.create(RuntimeConfig.from_args()) as runtime:
        client = await runtime.endpoint("dynamo.backend.generate").client(Delta)
        try:
            yield runtime, client
        finally:
            await client.close()


async def models(runtime: DistributedRuntime) -> dict[str, bytes]:
    return await runtime.discovery.get_prefix(MODELS_PREFIX)
