"""`dynamo_worker`: a coroutine function becomes a process of a deployment."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from dynamo_cli.api.runtime import DistributedRuntime
from dynamo_cli.errors import DynamoError
from dynamo_cli.runtime import loop
from dynamo_cli.runtime import runtime as inner
from dynamo_cli.runtime.admin import AdminServer
from dynamo_cli.runtime.config import RuntimeConfig
from dynamo_cli.runtime.flags.refusal import heed_variables
from dynamo_cli.runtime.flags.shared import SHARED
from dynamo_cli.runtime.logs import configure_logging
from dynamo_cli.runtime.signals import StopSignals
from dynamo_cli.workers.arguments import DEFAULT_GRACE_S
from dynamo_cli.workers.numeric import seconds

T = TypeVar("T")
LAST_S = 5.0
"""So long a function may go on once nothing is served any more and the process was asked to stop."""


def dynamo_worker() -> Callable[[Callable[..., Awaitable[T]]], Callable[..., Coroutine[Any, Any, T | None]]]:
    """Decorates `async def worker(runtime)`, which is then called without the runtime: `run(worker())`.

    The runtime is that of DYN_NAMESPACE, DYNAMO_DEPLOYMENT and the rest of the environment. Health and metrics are on
    an admin socket. On SIGTERM or SIGINT what is served ends in order, within DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT
    seconds, and serve_endpoint returns; a function that serves nothing is cancelled. A second signal is SystemExit.
    """

    def decorate(worker: Callable[..., Awaitable[T]]) -> Callable[..., Coroutine[Any, Any, T | None]]:
        @functools.wraps(worker)
        async def joined(*args: Any, **kwargs: Any) -> T | None:
            return await _join(lambda runtime: worker(runtime, *args, **kwargs))

        return joined

    return decorate


def run(main: Coroutine[Any, Any, T]) -> T:
    """asyncio.run on uvloop, for `main` of a script: a DynamoError is its one line on stderr and its exit code."""
    try:
        return loop.run(main)
    except DynamoError as error:
        sys.stderr.write(f"dynamo: {error}\n")
        raise SystemExit(error.exit_code) from None


async def _join(worker: Callable[[DistributedRuntime], Awaitable[T]]) -> T | None:
    if not logging.getLogger().handlers:
        configure_logging()
    heed_variables(SHARED)
    config = RuntimeConfig.from_args()
    grace_s = seconds(os.environ, "DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT", DEFAULT_GRACE_S)
    config.paths.ensure()
    admin = AdminServer(config.paths.admin_socket(config.service))
    await admin.start()
    with StopSignals() as signals:
        try:
            async with await inner.DistributedRuntime.create(config) as joined:
                runtime = DistributedRuntime(joined, admin, grace_s)
                try:
                    return await _until_stopped(asyncio.ensure_future(worker(runtime)), runtime, signals)
                finally:
                    await runtime.close()
        finally:
            await admin.close()
            config.paths.tidy()


async def _until_stopped(task: asyncio.Future[T], runtime: DistributedRuntime, signals: StopSignals) -> T | None:
    """The worker's result; None when it was cancelled because of a signal."""
    asked: asyncio.Future[Any] = asyncio.ensure_future(signals.asked.wait())
    forced: asyncio.Future[Any] = asyncio.ensure_future(signals.forced.wait())
    waited: tuple[asyncio.Future[Any], ...] = (task, asked, forced)
    try:
        await asyncio.wait(waited[:2], return_when=asyncio.FIRST_COMPLETED)
        if not task.done() and runtime.serves:
            runtime.shutdown()
            patience_s = runtime.grace_s + LAST_S
            await asyncio.wait(waited[::2], timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task})
        if signals.forced.is_set():
            raise SystemExit(128 + signal.SIGINT)
        return None if task.cancelled() else task.result()
    finally:
        for each in waited:
            each.cancel()
        await asyncio.gather(*waited, return_exceptions=True)
