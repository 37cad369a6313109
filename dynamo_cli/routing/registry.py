"""Which models are served, and by whom: follows model cards and instances in discovery."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from dynamo_cli.protocol.engine import Delta
from dynamo_cli.protocol.instance import MODELS_PREFIX, EndpointId, ModelCard, ModelIdentity
from dynamo_cli.protocol.load import WorkerLoad
from dynamo_cli.router.busy import UNKNOWN, Capacity
from dynamo_cli.router.load import Loads
from dynamo_cli.routing.identity import Agreement, Refusal, agree, agree_with

if TYPE_CHECKING:
    from dynamo_cli.runtime.client import Client
    from dynamo_cli.runtime.discovery.base import WatchEvent
    from dynamo_cli.runtime.runtime import DistributedRuntime

SERVING_ROLES = ("aggregated", "decode")
"""Roles of workers that whole requests can be sent to."""
PREFILL = "prefill"
ROLES = (*SERVING_ROLES, PREFILL)
FOUND_S = 2.0
"""How long a worker whose card is there may take to be found at its endpoint."""
LOOK_S = 0.02
Prepare = Callable[[str, ModelCard], Awaitable[None]]
log = logging.getLogger(__name__)
_decode_load = msgspec.msgpack.Decoder(WorkerLoad).decode


class RoutedModel:
    """A model's workers. `candidates` are the instance ids that can be sent requests now; `loads` says how loaded.

    `base`: of an adapter, the model on top of which the same workers serve it; their load is one.
    It outlives its workers: a model whose last worker has gone has no identity and no candidates. `prefill`: its
    workers that only prefill for the others; None of those themselves.
    """

    def __init__(self, name: str, *, prefills: bool = False) -> None:
        self.name = name
        self.prefill = None if prefills else RoutedModel(name, prefills=True)
        self.identity: ModelIdentity | None = None
        self.cards: dict[int, ModelCard] = {}
        self.clients: dict[int, Client] = {}
        self.candidates: list[int] = []
        self.loads = Loads()
        self.base: RoutedModel | None = None
        self._follows_loads = False

    @property
    def pool(self) -> str:
        """Names these workers among all that a frontend sends requests to."""
        return self.name if self.prefill is not None else f"{self.name} {PREFILL}"

    def decoders(self, workers: Sequence[int]) -> list[int]:
        """Those of the workers that fetch what others have computed."""
        cards = self.cards
        return [one for one in workers if (card := cards.get(one)) is not None and card.role == "decode"]

    @property
    def context_length(self) -> int:
        """The smallest of its workers', in tokens; 0 is unknown."""
        return min((card.context_length for card in self.cards.values() if card.context_length), default=0)

    @property
    def block_size(self) -> int:
        """Tokens of a KV block; 0 is unknown."""
        return self.identity.kv_block_size if self.identity is not None else 0

    def capacity(self, worker: int) -> Capacity:
        card = self.cards.get(worker)
        if card is None:
            return UNKNOWN
        return Capacity(self.loads.total_blocks(worker) or card.total_kv_blocks, card.max_num_batched_tokens)

    def follow_loads(self, always: bool = True) -> None:
        """Hear of every worker's load, also of those that nothing was sent to yet."""
        self._follows_loads = always
        self.refresh()
        if self.prefill is not None:
            self.prefill.follow_loads(always)

    def describe(self, worker: int) -> str:
        """Its id as discovery writes it, after the supervisor's name of it if that is known."""
        card = self.cards.get(worker)
        return f"{card.instance.service} ({worker:x})" if card is not None and card.instance.service else f"{worker:x}"

    def with_room(self, tokens: int) -> list[int]:
        """The candidates whose own context holds so many tokens."""
        return [worker for worker in self.candidates if self._holds(self.cards.get(worker), tokens)]

    def _holds(self, card: ModelCard | None, tokens: int) -> bool:
        return card is None or not card.context_length or card.context_length >= tokens

    def refresh(self) -> None:
        live = {client: set(client.instance_ids()) for client in set(self.clients.values())}
        self.candidates = [worker for worker, client in self.clients.items() if worker in live[client]]
        if self._follows_loads:
            for client in live:
                client.connect()


class ModelRegistry:
    """`on_change` is called with a model whose workers or identity changed. `endpoint`: only the workers there.

    `prepare` is awaited, with the model's name and a card, as soon as a model that is served may change over to that
    card's identity, so that nobody waits when it does; what it raises keeps the model as it is.
    """

    def __init__(
        self,
        runtime: DistributedRuntime,
        *,
        namespace: str,
        namespace_prefix: str | None = None,
        only: str | None = None,
        endpoint: EndpointId | None = None,
        on_change: Callable[[RoutedModel], None] = lambda model: None,
        prepare: Prepare | None = None,
    ) -> None:
        self.models: dict[str, RoutedModel] = {}
        self.refused: list[Refusal] = []
        self._runtime = runtime
        self._namespace = namespace
        self._namespace_prefix = namespace_prefix
        self._only = only
        self._endpoint = endpoint
        self._on_change = on_change
        self._prepare = prepare
        self._prepared: dict[str, ModelIdentity] = {}
        self._cards: dict[str, ModelCard] = {}
        self._clients: dict[EndpointId, Client] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Know what is there now, and follow what changes."""
        started = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._follow(started))
        await asyncio.wait((started, self._task), return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            await self._task

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for client in self._clients.values():
            await client.close()

    async def _follow(self, started: asyncio.Future[None]) -> None:
        async with self._runtime.discovery.watch_prefix(MODELS_PREFIX) as watch:
            names = {self._put(key, value) for key, value in watch.initial.items()}
            await self._regroup(names)
            started.set_result(None)
            while True:
                await self._regroup({self._apply(event) for event in await watch.next()})

    def _apply(self, event: WatchEvent) -> str:
        if event.kind == "put":
            return self._put(event.key, event.value)
        card = self._cards.pop(event.key, None)
        return card.name if card else ""

    def _put(self, key: str, value: bytes) -> str:
        """Remember a card that concerns this frontend; returns its model's name, or nothing."""
        try:
            card = msgspec.msgpack.decode(value, type=ModelCard)
        except (msgspec.MsgspecError, ValueError) as error:
            log.warning("model card %s is unreadable: %s", key, error)
            return ""
        if not self._wanted(card):
            return ""
        self._cards[key] = card
        return card.name

    def _wanted(self, card: ModelCard) -> bool:
        namespace = card.instance.endpoint.namespace
        prefix = self._namespace_prefix
        inside = namespace.startswith(prefix) if prefix is not None else namespace == self._namespace
        inside = inside and self._endpoint in (None, card.instance.endpoint)
        return inside and card.role in ROLES and self._only in (None, card.name)

    async def _regroup(self, names: set[str]) -> None:
        for name in sorted(names - {""}, key=self._is_adapter):
            await self._regroup_one(name)

    async def _regroup_one(self, name: str) -> None:
        """One that cannot be followed now keeps nobody from following the others, and later itself."""
        try:
            await self._regroup_model(name)
        except Exception:
            log.exception("model %s cannot be followed", name)

    async def _regroup_model(self, name: str) -> None:
        model = self.models.setdefault(name, RoutedModel(name))
        cards = [card for card in self._cards.values() if card.name == name]
        serving = [card for card in cards if card.role != PREFILL]
        identity, accepted, refused = await self._ready(model, serving, agree(serving, model.identity))
        await self._staff(model, identity, accepted)
        refused = refused + await self._regroup_prefill(model, [card for card in cards if card.role == PREFILL])
        self._note_refused(name, refused)
        self._on_change(model)

    async def _regroup_prefill(self, model: RoutedModel, cards: Sequence[ModelCard]) -> list[Refusal]:
        """Workers that prefill must be like those that decode, as soon as there are any."""
        pool = model.prefill
        if pool is None or not (cards or pool.cards):
            return []
        identity, accepted, refused = agree_with(cards, model.identity) if model.identity else agree(cards, None)
        await self._staff(pool, identity, accepted)
        return refused

    async def _staff(self, model: RoutedModel, identity: ModelIdentity | None, accepted: Sequence[ModelCard]) -> None:
        model.clients = await self._clients_of(accepted)
        model.cards = {card.instance.instance_id: card for card in accepted}
        model.identity = identity
        self._share_load(model)
        model.refresh()

    async def _ready(self, model: RoutedModel, cards: Sequence[ModelCard], agreed: Agreement) -> Agreement:
        """Before a model that is served changes over to its next identity, everything is there that this takes."""
        staying = [card for card in cards if card.identity == model.identity]
        newest = max(cards, key=lambda card: card.generation, default=None)
        if not staying or newest is None or newest.identity == model.identity:
            return agreed
        goes_over = agreed.identity != model.identity
        if goes_over or newest.generation > max(card.generation for card in staying):
            failure = await self._prepare_for(model.name, newest)
            if failure:
                refused = [Refusal(card, failure) for card in cards if card.identity != model.identity]
                return Agreement(model.identity, staying, refused)
        if goes_over:
            await _found(await self._clients_of(agreed.accepted))
            log.info("model %s goes over to %d newer worker(s)", model.name, len(agreed.accepted))
        return agreed

    async def _prepare_for(self, name: str, card: ModelCard) -> str:
        """Why the card's worker cannot take over; "" when it can."""
        if self._prepare is None or self._prepared.get(name) == card.identity:
            return ""
        try:
            await self._prepare(name, card)
        except Exception as error:
            return f"worker {card.instance.hex_id} of model {name} cannot take over: {error}"
        self._prepared[name] = card.identity
        return ""

    async def _clients_of(self, cards: Sequence[ModelCard]) -> dict[int, Client]:
        return {card.instance.instance_id: await self._client(card.instance.endpoint) for card in cards}

    def _is_adapter(self, name: str) -> bool:
        return any(card.name == name and card.identity.base for card in self._cards.values())

    def _share_load(self, model: RoutedModel) -> None:
        """An adapter's requests weigh on its workers like the base model's, as long as that one is known here."""
        base = self.models.get(model.identity.base) if model.identity is not None else model.base
        if base is not None and model.prefill is None:
            base = base.prefill or base
        if model.base is not None and base is not model.base:
            model.base, model.loads = None, Loads()
        if base is not None and base is not model and model.base is None and not model.loads.known():
            model.base, model.loads = base, base.loads
        if model.base is None:
            model.loads.keep(model.cards.keys())

    def _note_refused(self, name: str, refused: list[Refusal]) -> None:
        known = set(self.refused)
        for refusal in refused:
            if refusal not in known:
                log.log(logging.INFO if refusal.expected else logging.WARNING, "%s", refusal.reason)
        self.refused = [refusal for refusal in self.refused if refusal.card.name != name] + refused

    async def _client(self, endpoint: EndpointId) -> Client:
        if endpoint not in self._clients:
            client = await self._runtime.endpoint(endpoint).client(Delta)
            client.on_change(self._instances_changed)
            client.on_load(self._load_reported)
            self._clients[endpoint] = client
        return self._clients[endpoint]

    def _load_reported(self, worker: int, encoded: bytes) -> None:
        try:
            load = _decode_load(encoded)
        except msgspec.DecodeError as error:
            log.debug("worker %x reports a load that cannot be read: %s", worker, error)
            return
        for model in self.pools():
            if worker in model.cards and model.base is None:
                model.loads.report(worker, load)

    def _instances_changed(self, *_: Any) -> None:
        for model in self.pools():
            model.refresh()

    def pools(self) -> Iterator[RoutedModel]:
        """The workers of each model that answer, and those that prefill for them."""
        for model in self.models.values():
            yield model
            if model.prefill is not None and model.prefill.cards:
                yield model.prefill


async def _found(clients: dict[int, Client]) -> None:
    """Until each of these workers is known at its endpoint, or time is over: cards and instances come separately."""
    deadline = time.monotonic() + FOUND_S
    while any(worker not in client.instance_ids() for worker, client in clients.items()):
        if time.monotonic() >= deadline:
            return
        await asyncio.sleep(LOOK_S)
