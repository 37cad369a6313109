"""A process's membership in a deployment: namespace -> component -> endpoint."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from types import TracebackType

from dynamo_cli.errors import UsageError
from dynamo_cli.protocol.instance import EndpointId
from dynamo_cli.runtime.config import RuntimeConfig
from dynamo_cli.runtime.discovery.base import Discovery
from dynamo_cli.runtime.endpoint import Endpoint
from dynamo_cli.runtime.events.base import EventPlane
from dynamo_cli.runtime.requests.base import RequestClient, RequestServer

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


class DistributedRuntime:
    """Also an async context manager. `instance_id` names this process in every endpoint it serves."""

    def __init__(self, config: RuntimeConfig, discovery: Discovery, requests: RequestClient) -> None:
        self.config = config
        self.discovery = discovery
        self.requests = requests
        self.instance_id = secrets.randbits(63) or 1
        self._server: RequestServer | None = None
        self._events: EventPlane | None = None

    @classmethod
    async def create(cls, config: RuntimeConfig) -> DistributedRuntime:
        from dynamo_cli.runtime.requests.tcp import TcpRequestClient

        return cls(config, _discovery(config), TcpRequestClient(config.token))

    @property
    def server(self) -> RequestServer | None:
        """None until the first endpoint is served."""
        return self._server

    @property
    def events(self) -> EventPlane:
        """The event plane; it listens only once this process publishes."""
        if self._events is None:
            self._events = _event_plane(self)
        return self._events

    async def start_server(self) -> RequestServer:
        """The request server of this process, listening."""
        if self._server is None:
            from dynamo_cli.runtime.requests.tcp import TcpRequestServer

            self._server = await TcpRequestServer.listen(self.config.token, self.config.host)
        return self._server

    def namespace(self, name: str | None = None) -> Namespace:
        """The configured namespace, unless another is named."""
        return Namespace(self, _checked(name or self.config.namespace))

    def endpoint(self, name: str | EndpointId) -> Endpoint:
        """UsageError unless it is namespace.component.endpoint."""
        return Endpoint(self, name if isinstance(name, EndpointId) else parse_endpoint(name))

    async def close(self) -> None:
        """Leave: keys first, so that nobody new comes, then the planes."""
        await self.discovery.close()
        if self._events is not None:
            await self._events.close()
        if self._server is not None:
            await self._server.close()
        await self.requests.close()

    async def __aenter__(self) -> DistributedRuntime:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


@dataclass(frozen=True)
class Namespace:
    runtime: DistributedRuntime
    name: str

    def component(self, name: str) -> Component:
        return Component(self, _checked(name))


@dataclass(frozen=True)
class Component:
    namespace: Namespace
    name: str

    def endpoint(self, name: str) -> Endpoint:
        runtime = self.namespace.runtime
        return Endpoint(runtime, EndpointId(self.namespace.name, self.name, _checked(name)))


def parse_endpoint(name: str) -> EndpointId:
    """`namespace.component.endpoint`, with or without a leading dyn://; UsageError otherwise."""
    parts = name.removeprefix("dyn://").split(".")
    if len(parts) != 3:
        raise UsageError(f"endpoint {name!r} is not of the form namespace.component.endpoint")
    return EndpointId(*map(_checked, parts))


def _checked(name: str) -> str:
    if _NAME.fullmatch(name):
        return name
    raise UsageError(f"{name!r} cannot be part of an endpoint's name: use lower-case letters, digits, - and _")


def _discovery(config: RuntimeConfig) -> Discovery:
    if config.discovery == "mem":
        from dynamo_cli.runtime.discovery.memory import MemoryDiscovery, process_store

        return MemoryDiscovery(process_store())
    from dynamo_cli.runtime.discovery.file import FileDiscovery

    return FileDiscovery(config.discovery_root)


def _event_plane(runtime: DistributedRuntime) -> EventPlane:
    config = runtime.config
    if config.event_plane == "mem":
        from dynamo_cli.runtime.events.memory import MemoryEventPlane, process_hub

        return MemoryEventPlane(process_hub(), runtime.instance_id)
    from dynamo_cli.runtime.events.tcp import TcpEventPlane

    return TcpEventPlane(config.token, runtime.discovery, runtime.instance_id, config.host)
