"""A process of the user's own in a deployment."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dynamo_cli.api.client import Client
from dynamo_cli.api.endpoint import Endpoint
from dynamo_cli.runtime import runtime as inner
from dynamo_cli.runtime.admin import AdminServer

if TYPE_CHECKING:
    from dynamo_cli.api.counts import EndpointCounts
    from dynamo_cli.api.model import Registration
    from dynamo_cli.protocol.instance import EndpointId
    from dynamo_cli.runtime.endpoint import ServedEndpoint


class DistributedRuntime:
    """What `dynamo_worker` hands to its function. `grace_s`: how long running requests may go on at the end."""

    def __init__(self, joined: inner.DistributedRuntime, admin: AdminServer, grace_s: float) -> None:
        self.joined = joined
        self.grace_s = grace_s
        self.stopping = asyncio.Event()
        self.registrations: dict[EndpointId, Registration] = {}
        self._admin = admin
        self._served: dict[str, tuple[ServedEndpoint, EndpointCounts]] = {}
        self._clients: list[Client] = []
        admin.metrics = self._metrics

    def namespace(self, name: str | None = None) -> Namespace:
        """The one of this deployment, unless another is named. UsageError for what cannot be a name."""
        return Namespace(self, self.joined.namespace(name).name)

    def endpoint(self, name: str) -> Endpoint:
        """UsageError unless it is namespace.component.endpoint."""
        return Endpoint(self, self.joined.endpoint(name).id)

    def shutdown(self) -> None:
        """End what is served, as SIGTERM does."""
        self.stopping.set()
        if self._served:
            self._admin.set_health("draining", f"{sum(one.inflight for one, _ in self._served.values())} in flight")

    @property
    def serves(self) -> bool:
        return bool(self._served)

    def began(self, served: ServedEndpoint, counts: EndpointCounts) -> None:
        self._served[str(served.instance.endpoint)] = served, counts
        self._admin.set_health("ready", endpoints=list(self._served), instance=served.instance.hex_id)

    def ended(self, served: ServedEndpoint) -> None:
        self._served.pop(str(served.instance.endpoint), None)

    def opened(self, client: Client) -> Client:
        self._clients.append(client)
        return client

    async def close(self) -> None:
        for client in self._clients:
            await client.close()

    def _metrics(self) -> bytes:
        from dynamo_cli.api.counts import rendered

        return rendered([(counts, served.inflight) for served, counts in self._served.values()])


@dataclass(frozen=True)
class Namespace:
    runtime: DistributedRuntime
    name: str

    def component(self, name: str) -> Component:
        return Component(self, name)


@dataclass(frozen=True)
class Component:
    namespace: Namespace
    name: str

    def endpoint(self, name: str) -> Endpoint:
        return self.namespace.runtime.endpoint(f"{self.namespace.name}.{self.name}.{name}")
