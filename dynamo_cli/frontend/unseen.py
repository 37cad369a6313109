"""Workers of the deployment that are ready and get no requests from this frontend: they are registered where it does
not look, or it cannot use them. Found by their admin sockets, which lie beside its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import msgspec

from dynamo_cli.routing.registry import ROLES, ModelRegistry
from dynamo_cli.runtime.config import RuntimeConfig
from dynamo_cli.runtime.http.client import request
from dynamo_cli.runtime.within import within

log = logging.getLogger(__name__)
LOOK_S, PATIENCE_S = 2.5, 1.0
UNSEEN_S = 5.0
"""So long a ready worker may be on its way here."""
ELSEWHERE, UNREACHABLE, REFUSED = "elsewhere", "unreachable", "refused"
REASONS = (ELSEWHERE, UNREACHABLE, REFUSED)


class Health(msgspec.Struct):
    """What a worker says at GET /health when it is ready. `instance`: its id as discovery writes it."""

    instance: str
    model: str
    endpoint: str = ""
    store: str = ""
    role: str = "aggregated"


class Missing(NamedTuple):
    """`words`: what is wrong and what helps; the worker's name goes before it."""

    model: str
    reason: str
    words: str


class Unseen:
    """`workers`: those that are missed, by the names of their sockets: the supervisor's, or pid-N.

    A worker in rotation is not asked anything. `only`: the one model that is served here, None for all; `others`: the
    admin sockets of the other frontends. `clock`: seconds, never going back.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        config: RuntimeConfig,
        only: str | None,
        others: Callable[[], Iterable[str]],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.workers: dict[str, Missing] = {}
        self._registry = registry
        self._config = config
        self._only = only
        self._others = others
        self._clock = clock
        self._since: dict[str, float] = {}

    async def run(self) -> None:
        """Look every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Ask the workers that are not in rotation here; what is missed for long enough is said once."""
        sockets = sorted(self._sockets())
        answers = await asyncio.gather(*map(_health, sockets))
        missing = {
            socket.stem: self._judge(health)
            for socket, health in zip(sockets, answers, strict=True)
            if health is not None and health.role in ROLES and self._only in (None, health.model)
        }
        now = self._clock()
        self._since = {name: self._since.get(name, now) for name in missing}
        for name in self.workers.keys() - missing.keys():
            log.info("worker %s of model %s is missed no more", name, self.workers.pop(name).model)
        for name, found in missing.items():
            if now - self._since[name] >= UNSEEN_S and self.workers.get(name) != found:
                self.workers[name] = found
                if found.reason != REFUSED:  # whoever refused it has said so
                    log.warning("worker %s of model %s %s", name, found.model, found.words)

    def _sockets(self) -> set[Path]:
        paths = self._config.paths
        known = {Path(socket) for socket in self._others()}
        known |= {paths.control_socket, paths.admin_socket(self._config.service)}
        for model in self._registry.pools():
            usable = [model.cards[worker].instance for worker in model.candidates if worker in model.cards]
            known |= {paths.admin_socket(one.service or f"pid-{one.pid}") for one in usable}
        return set(paths.runtime_dir.glob("*.sock")) - known

    def _judge(self, health: Health) -> Missing:
        worker = int(health.instance, 16)
        for refusal in self._registry.refused:
            if refusal.card.instance.instance_id == worker:
                return Missing(health.model, REFUSED, f"is ready, but not used: {refusal.reason}")
        if any(worker in model.cards for model in self._registry.pools()):
            return Missing(
                health.model,
                UNREACHABLE,
                "is ready and registered, but does not answer this frontend: give both the same DYN_TOKEN, and let its "
                "DYN_TCP_RPC_HOST be an address that can be reached from here",
            )
        return Missing(health.model, ELSEWHERE, self._elsewhere(health))

    def _elsewhere(self, health: Health) -> str:
        config, namespace = self._config, health.endpoint.partition(".")[0]
        if health.store != config.store:
            return (
                f"is ready, but registered in another discovery store: {health.store}, this frontend looks in "
                f"{config.store}; give both the same DYN_DISCOVERY_BACKEND and DYN_FILE_KV"
            )
        if config.namespace_prefix is None:
            inside, where = namespace == config.namespace, config.namespace
        else:
            inside, where = namespace.startswith(config.namespace_prefix), f"{config.namespace_prefix}*"
        if inside:
            return "is ready, but its registration is not there: start it again"
        return (
            f"is ready, but registered in namespace {namespace}, this frontend looks in {where}: "
            "give both the same --namespace (DYN_NAMESPACE)"
        )


async def _health(socket: Path) -> Health | None:
    """None when no ready worker answers there."""

    async def whole() -> bytes:
        async with await request(str(socket), "GET", "/health") as answer:
            return await answer.read() if answer.status == 200 else b""

    try:
        return msgspec.json.decode(await within(PATIENCE_S, whole()), type=Health)
    except (OSError, asyncio.TimeoutError, msgspec.DecodeError):
        return None
