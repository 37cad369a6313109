"""An endpoint: serve it, or get a client of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from dynamo_cli.protocol.instance import EndpointId, Instance
from dynamo_cli.runtime.client import Client
from dynamo_cli.runtime.requests.base import Handler, RequestServer

if TYPE_CHECKING:
    from dynamo_cli.runtime.runtime import DistributedRuntime


class Endpoint:
    def __init__(self, runtime: DistributedRuntime, endpoint: EndpointId) -> None:
        self.id = endpoint
        self._runtime = runtime

    async def serve(self, handler: Handler, *, request_type: Any = Any, register: bool = True) -> ServedEndpoint:
        """Answer requests with `handler(request, context)`; with `register` clients find it at once."""
        runtime = self._runtime
        server = await runtime.start_server()
        server.add(str(self.id), handler, request_type)
        instance = Instance(
            endpoint=self.id,
            instance_id=runtime.instance_id,
            address=server.address,
            pid=os.getpid(),
            service=runtime.config.service,
        )
        served = ServedEndpoint(runtime, server, instance)
        if register:
            await served.register()
        return served

    async def client(self, response_type: Any = Any) -> Client:
        """A client that follows the instances of this endpoint; close it."""
        return await Client.create(self._runtime.discovery, self._runtime.requests, self.id, response_type)


class ServedEndpoint:
    """An endpoint this process serves. `register` and `unregister` put it in and out of clients' rotation."""

    def __init__(self, runtime: DistributedRuntime, server: RequestServer, instance: Instance) -> None:
        self.instance = instance
        self._discovery = runtime.discovery
        self._server = server
        self._name = str(instance.endpoint)

    async def register(self) -> None:
        await self._discovery.put(self.instance.key, msgspec.msgpack.encode(self.instance))

    async def unregister(self) -> None:
        await self._discovery.delete(self.instance.key)

    def report(self, load: Callable[[], bytes]) -> None:
        """Tell clients what `load` returns, each second; it is called in another thread: all it may do is read."""
        self._server.report(load)

    @property
    def inflight(self) -> int:
        return self._server.inflight(self._name)

    async def wait_idle(self, timeout_s: float) -> None:
        """Until no request runs here, or the time is up."""
        await self._server.wait_idle(timeout_s, self._name)

    async def drain(self, timeout_s: float) -> None:
        """Take no more requests; wait for the running ones, then stop what is left."""
        await self.unregister()
        await self._server.drain(timeout_s, self._name)

    async def close(self) -> None:
        """Serve it no more; running requests go on."""
        await self.unregister()
        self._server.remove(self._name)
