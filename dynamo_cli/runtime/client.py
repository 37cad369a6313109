"""The caller's view of an endpoint: its live instances, and ways to send them requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from dynamo_cli.errors import NoInstances
from dynamo_cli.protocol.instance import INSTANCES_PREFIX, EndpointId, Instance
from dynamo_cli.runtime.context import Context
from dynamo_cli.runtime.discovery.base import Discovery, Watch
from dynamo_cli.runtime.requests.base import PeerState, RequestClient, Stream, StreamSink
from dynamo_cli.runtime.requests.iterator import iterate
from dynamo_cli.runtime.trail import Trail
from dynamo_cli.runtime.within import within

_log = logging.getLogger(__name__)
_PROBE_S = (0.2, 0.5, 1.0, 2.0)
_decode_instance = msgspec.msgpack.Decoder(Instance).decode


class Client:
    """Follows one endpoint through discovery.

    An instance that was reported down, lost its connection or drains is left out until it registers anew;
    unless it drains, it also comes back once it answers a ping.
    """

    def __init__(self, requests: RequestClient, endpoint: EndpointId, response_type: Any) -> None:
        self.endpoint = endpoint
        self._requests = requests
        self._response_type = response_type
        self._known: dict[str, Instance] = {}
        self._down: dict[int, asyncio.Task[None] | None] = {}
        self._live: dict[int, Instance] = {}
        self._order: list[int] = []
        self._next = 0
        self._callbacks: list[Callable[[], None]] = []
        self._load_callbacks: list[Callable[[int, bytes], None]] = []
        self._changed = asyncio.Event()
        self._stop_listening = requests.on_peer(self._on_peer)
        self._stop_hearing_loads = requests.on_load(self._on_load)
        self._watching: asyncio.Task[None] | None = None

    @classmethod
    async def create(
        cls, discovery: Discovery, requests: RequestClient, endpoint: EndpointId, response_type: Any = Any
    ) -> Client:
        client = cls(requests, endpoint, response_type)
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        client._watching = asyncio.create_task(client._watch(discovery, started))
        await started
        return client

    def instances(self) -> list[Instance]:
        return list(self._live.values())

    def instance_ids(self) -> list[int]:
        return self._order

    async def wait_for_instances(self, n: int = 1, timeout_s: float = 30.0) -> list[Instance]:
        """Until at least `n` are live; NoInstances when time is up."""
        with contextlib.suppress(asyncio.TimeoutError):
            await within(timeout_s, self._until(n))
        if len(self._live) >= n:
            return self.instances()
        raise NoInstances(f"{len(self._live)} of {n} instances of {self.endpoint} are there after {timeout_s:g} s")

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call it whenever the live instances change."""
        self._callbacks.append(callback)

    def on_load(self, callback: Callable[[int, bytes], None]) -> None:
        """Call it with an instance's id and what it says of its load: each second while it is connected."""
        self._load_callbacks.append(callback)

    def connect(self) -> None:
        """Connect to every live instance now, rather than on the first request to it."""
        for instance in self._live.values():
            self._requests.connect(instance.address)

    def report_down(self, instance_id: int) -> None:
        """Leave it out until it registers anew or answers a ping."""
        instance = self._live.get(instance_id)
        if instance is not None:
            self._down[instance_id] = asyncio.create_task(self._probe(instance))
            self._refresh()

    def send(
        self, request: Any, instance_id: int, sink: StreamSink, request_id: str = "", trail: Trail | None = None
    ) -> Stream:
        """Start a request on one instance without waiting; NoInstances when it is not live."""
        instance = self._live.get(instance_id)
        if instance is None:
            raise NoInstances(f"instance {instance_id:x} of {self.endpoint} is not there")
        return self._requests.send(
            instance.address,
            str(self.endpoint),
            request,
            sink,
            request_id=request_id or secrets.token_hex(8),
            response_type=self._response_type,
            trail=trail,
        )

    def random(self, request: Any, context: Context | None = None) -> AsyncIterator[Any]:
        return self.direct(request, random.choice(self._candidates()), context)

    def round_robin(self, request: Any, context: Context | None = None) -> AsyncIterator[Any]:
        candidates = self._candidates()
        self._next += 1
        return self.direct(request, candidates[self._next % len(candidates)], context)

    def direct(self, request: Any, instance_id: int, context: Context | None = None) -> AsyncIterator[Any]:
        """Answers as they come; raises the stream's error, Cancelled when the context was stopped."""
        given = context or Context(secrets.token_hex(8))
        return iterate(lambda sink: self.send(request, instance_id, sink, given.id, given.trail), given)

    async def close(self) -> None:
        self._stop_listening()
        self._stop_hearing_loads()
        tasks = [task for task in [self._watching, *self._down.values()] if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _candidates(self) -> list[int]:
        if not self._order:
            raise NoInstances(f"nobody serves {self.endpoint}")
        return self._order

    async def _until(self, n: int) -> None:
        while len(self._live) < n:
            self._changed.clear()
            await self._changed.wait()

    async def _watch(self, discovery: Discovery, started: asyncio.Future[None]) -> None:
        try:
            async with discovery.watch_prefix(f"{INSTANCES_PREFIX}{self.endpoint.path}/") as watch:
                for key, value in watch.initial.items():
                    self._put(key, value)
                self._refresh()
                started.set_result(None)
                await self._follow(watch)
        except Exception as error:
            if started.done():
                _log.exception("following the instances of %s failed", self.endpoint)
            else:
                started.set_exception(error)

    async def _follow(self, watch: Watch) -> None:
        while True:
            for event in await watch.next():
                if event.kind == "put":
                    self._put(event.key, event.value)
                elif gone := self._known.pop(event.key, None):
                    self._mark_up(gone.instance_id)
            self._refresh()

    def _put(self, key: str, value: bytes) -> None:
        try:
            instance = _decode_instance(value)
        except msgspec.DecodeError as error:
            _log.warning("%s does not hold an instance: %s", key, error)
            return
        self._known[key] = instance
        self._mark_up(instance.instance_id)

    def _mark_up(self, instance_id: int) -> None:
        task = self._down.pop(instance_id, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def _on_peer(self, address: str, endpoint: str, state: PeerState) -> None:
        for instance in self.instances():
            if instance.address != address or endpoint not in ("", str(self.endpoint)):
                continue
            if state == "draining":
                self._down[instance.instance_id] = None
                self._refresh()
            else:
                self.report_down(instance.instance_id)

    def _on_load(self, address: str, load: bytes) -> None:
        for instance in self._live.values():
            if instance.address == address:
                for callback in self._load_callbacks:
                    callback(instance.instance_id, load)

    async def _probe(self, instance: Instance) -> None:
        for attempt in range(1 << 30):
            await asyncio.sleep(_PROBE_S[min(attempt, len(_PROBE_S) - 1)])
            if await self._requests.probe(instance.address):
                break
        self._mark_up(instance.instance_id)
        self._refresh()

    def _refresh(self) -> None:
        live = {known.instance_id: known for known in self._known.values() if known.instance_id not in self._down}
        if live == self._live:
            return
        self._live = live
        self._order = sorted(live)
        self._changed.set()
        for callback in list(self._callbacks):
            callback()
