"""Starts vLLM with its processes, notices their death, and leaves none behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import os
import signal
from collections.abc import Callable
from importlib.metadata import entry_points
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import psutil

from dynamo_cli.errors import DynamoError, EngineFailed
from dynamo_cli.protocol.instance import HALVES
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.private import PrivateDirectory
from dynamo_cli.workers.engines.vllm.arguments import engine_arguments, follows_events
from dynamo_cli.workers.engines.vllm.build import is_cpu_build
from dynamo_cli.workers.engines.vllm.channel import Channel
from dynamo_cli.workers.engines.vllm.environment import PLUGIN, PLUGINS, prepare
from dynamo_cli.workers.engines.vllm.failure import argument_failure, death, start_failure
from dynamo_cli.workers.engines.vllm.handing import NIXL_PORT, prepare_handing
from dynamo_cli.workers.engines.vllm.plugin import endpoint_of
from dynamo_cli.workers.engines.vllm.wire import SOCKET_VARIABLE, Events
from dynamo_cli.workers.shared_memory import remove, segments_of

T = TypeVar("T")
_LOOK_S = 1.0
_SOCKET_NAME_BYTES = 40
"""vLLM names its own sockets in our directory by UUIDs."""
_END_S = 3.0
_LAST_WORDS_S = 5.0
"""What it said of errors so long before its death explains it."""
_log = logging.getLogger("dynamo.worker")


class VllmProcess:
    """`engine` is the AsyncLLM once it has started; `tells_events`: its events come to `on_events`."""

    def __init__(self, launch: EngineLaunch, kv_events: bool, on_events: Callable[[Events], None]) -> None:
        self.engine: Any = None
        self.tells_events = False
        self._launch = launch
        self._kv_events = kv_events
        self._on_events = on_events
        self._on_cpu = is_cpu_build()
        self._directory: PrivateDirectory | None = None
        self._channel: Channel | None = None
        self._building: asyncio.Future[Any] | None = None
        self._stopped = False
        self._others: set[BaseProcess] = set()
        self._cores: list[BaseProcess] = []
        self._all: list[psutil.Process] = []

    async def start(self, stat_loggers: Callable[[], list[Any]]) -> Any:
        """Return the AsyncLLM when it serves. Raises UsageError, ResourceMissing and EngineFailed."""
        self._directory = PrivateDirectory(self._launch.runtime_dir, "vllm", _SOCKET_NAME_BYTES)
        self._channel = channel = Channel(self._directory.path, self._on_events)
        await channel.open()
        self._others = set(multiprocessing.active_children())
        self._building = asyncio.ensure_future(asyncio.to_thread(self._build, channel.path, stat_loggers))
        try:
            self.engine, follows = await asyncio.shield(self._building)
        except DynamoError:
            raise
        except Exception as error:
            await channel.settle()
            raise start_failure(self._launch.model_name, error, channel.failures(), on_cpu=self._on_cpu) from None
        # What importing and starting made stays; looking through it again and again would cost each request.
        gc.collect()
        gc.freeze()
        self._cores = self._started()
        self._all = _with_descendants(self._cores)
        self.tells_events = follows and channel.tells_events
        if follows and not channel.tells_events:
            _log.warning("vLLM tells no KV events: its plugin %r was not loaded", PLUGIN)
        return self.engine

    def _build(self, socket: str, stat_loggers: Callable[[], list[Any]]) -> tuple[Any, bool]:
        """In a thread: importing takes seconds, loading a model minutes."""
        assert self._directory is not None
        prepare(os.environ, self._directory.path, socket, on_cpu=self._on_cpu)
        own = [SOCKET_VARIABLE]
        if self._launch.role in HALVES:
            own += prepare_handing(os.environ, self._launch.ports[NIXL_PORT], on_cpu=self._on_cpu)
        endpoint = endpoint_of(socket) if self._kv_events and _plugin_is_installed() else ""
        try:
            arguments = engine_arguments(self._launch, on_cpu=self._on_cpu, events_endpoint=endpoint)
            config = self._configured(arguments.create_engine_config)
            if self._stopped:
                raise EngineFailed("vLLM was stopped while it started")
            from vllm.v1.engine.async_llm import AsyncLLM

            engine = AsyncLLM.from_vllm_config(config, stat_loggers=stat_loggers(), disable_log_stats=True)
            return engine, follows_events(config, endpoint)
        finally:
            for name in own:
                os.environ.pop(name, None)

    def _configured(self, make: Callable[[], T]) -> T:
        try:
            return make()
        except (ValueError, NotImplementedError) as error:
            raise argument_failure(error) from None

    async def died(self) -> str:
        """Wait for the engine to end; why it did."""
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        for core in self._cores:
            loop.add_reader(core.sentinel, gone.set)
        try:
            while not gone.is_set() and not self.engine.errored:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(gone.wait(), _LOOK_S)
        finally:
            for core in self._cores:
                loop.remove_reader(core.sentinel)
        assert self._channel is not None
        await self._channel.settle()
        return death(self._channel.failures(_LAST_WORDS_S), _ended(self._cores))

    async def stop(self) -> None:
        """Idempotent; also in the middle of a start."""
        self._stopped = True
        while self._building is not None and not self._building.done():
            _kill(_with_descendants(self._started()))
            await asyncio.wait([self._building], timeout=0.1)
        engine, self.engine = self.engine, None
        if engine is None and self._building is not None and not self._building.cancelled():
            engine = None if self._building.exception() else self._building.result()[0]
        if engine is not None:
            await self._shut_down(engine)
        left = [*self._all, *_with_descendants(self._started())]
        _kill(left)
        await asyncio.to_thread(psutil.wait_procs, left, _END_S)
        if self._channel is not None:
            self._channel.close()
        if self._directory is not None:
            self._directory.remove()

    async def _shut_down(self, engine: Any) -> None:
        tasks = _tasks_of(engine)
        for task in tasks:
            # First of all: they would take the end of the engine for its death, and say so.
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Asked to end, its workers take five seconds to; nothing of them is worth waiting for.
        _kill(self._all)
        await asyncio.to_thread(engine.shutdown)

    def _started(self) -> list[BaseProcess]:
        return list(set(multiprocessing.active_children()) - self._others)


def _plugin_is_installed() -> bool:
    if entry_points(group=PLUGINS, name=PLUGIN):
        return True
    _log.warning("vLLM tells no KV events: this package has no entry points; run `pip install` of it once more")
    return False


def _tasks_of(engine: Any) -> list[asyncio.Task[Any]]:
    resources = getattr(engine.engine_core, "resources", None)
    found = [
        getattr(engine, "output_handler", None),
        getattr(resources, "output_queue_task", None),
        getattr(resources, "stats_update_task", None),
    ]
    return [task for task in found if task is not None]


def _ended(cores: list[BaseProcess]) -> str:
    for core in cores:
        code = core.exitcode
        if code is not None and code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        if code is not None:
            return f"exited with code {code}"
    return "broke"


def _with_descendants(cores: list[BaseProcess]) -> list[psutil.Process]:
    found = []
    for core in cores:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(core.pid)
            found += [process, *process.children(recursive=True)]
    return found


def _kill(processes: list[psutil.Process]) -> None:
    running = [process for process in processes if process.is_running()]
    segments = {segment for process in running for segment in segments_of(process.pid)}
    for process in running:
        with contextlib.suppress(psutil.Error):
            process.kill()
    remove(segments)
