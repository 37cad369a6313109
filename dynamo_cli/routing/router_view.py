"""GET /router on the admin socket: what the KV-aware routers of this process know of the workers.

GET /router/blocks: a digest of the blocks known of each, and GET /router/blocks/WORKER: the blocks themselves. A worker
tells its own in the same form (GET /kv_blocks).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dynamo_cli.errors import RouteMissing
from dynamo_cli.protocol.held_blocks import HeldView, held_view
from dynamo_cli.protocol.kv import TIERS, Tier
from dynamo_cli.routing.adapter_placing import AdapterPlacer
from dynamo_cli.routing.kv_counts import NOTHING
from dynamo_cli.routing.kv_diagnosis import WORDS
from dynamo_cli.routing.kv_placing import KvPlacer
from dynamo_cli.routing.placing import Placer
from dynamo_cli.routing.shared_sequences import SharedSequences
from dynamo_cli.runtime.http.exchange import Exchange, Handler

PATH = "/router"
BLOCKS_PATH = f"{PATH}/blocks"
ONE_PATH = f"{BLOCKS_PATH}/"


class RouterView:
    """`placers`: one a model. `beside`: what else the answer has. Handlers raise RouteMissing on the public port."""

    def __init__(
        self,
        placers: Callable[[], Iterable[Placer]],
        shared: SharedSequences,
        mode: str,
        beside: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self._placers = placers
        self._shared = shared
        self._mode = mode
        self._beside = beside

    def add_to(self, add: Callable[[str, str, Handler], None]) -> None:
        add("GET", PATH, self.show)
        for path in (BLOCKS_PATH, ONE_PATH):
            add("GET", path, self.show_blocks)

    def show(self, exchange: Exchange) -> None:
        """`routers` of the answer says of which others all is known."""
        _check(exchange)
        shared, placers = self._shared, [one for one in self._placers() if not isinstance(one, AdapterPlacer)]
        models = {one.model.pool: _model(one) if isinstance(one, KvPlacer) else _plain(one) for one in placers}
        view = {"mode": self._mode, "router": shared.router_id, "routers": shared.routers(), "models": models}
        exchange.send_json(view | self._beside())

    def show_blocks(self, exchange: Exchange) -> None:
        """Of all workers, or of the one in the path. Raises RouteMissing for one that no router knows."""
        _check(exchange)
        _, _, wanted = exchange.request.path.partition(ONE_PATH)
        models = {}
        for placer in self._routing():
            workers = {f"{worker:x}": worker for worker in placer.router.workers}
            shown = {wanted: workers[wanted]} if wanted in workers else {} if wanted else workers
            models[placer.model.pool] = {
                "workers": {name: _blocks(placer, worker, listed=bool(wanted)) for name, worker in shown.items()}
            }
        if wanted and not any(model["workers"] for model in models.values()):
            raise RouteMissing(f"no router here knows a worker {wanted}")
        exchange.send_json({"models": models})

    def _routing(self) -> list[KvPlacer]:
        return [placer for placer in self._placers() if isinstance(placer, KvPlacer)]


def _check(exchange: Exchange) -> None:
    if not exchange.request.trusted:
        raise RouteMissing(f"there is no {exchange.request.path} here")


def _blocks(placer: KvPlacer, worker: int, *, listed: bool) -> dict[Tier, HeldView]:
    return {tier: held_view(placer.router.blocks_of(worker, tier), listed=listed) for tier in TIERS}


def _model(placer: KvPlacer) -> dict[str, Any]:
    """Of a worker no card tells of here any more, other routers may still have requests."""
    active = placer.router.active
    workers = placer.router.workers.keys() | active.requests.keys()
    return {
        "block_size": placer.router.block_size,
        "workers": {f"{worker:x}": _worker(placer, worker) for worker in sorted(workers)},
    }


def _plain(placer: Placer) -> dict[str, Any]:
    """Of a router that looks at no caches: requests of this process."""
    cards, inflight = placer.model.cards, placer.inflight
    return {
        "workers": {
            f"{worker:x}": {"service": cards[worker].instance.service, "requests": inflight.get(worker, 0)}
            for worker in sorted(cards)
        }
    }


def _worker(placer: KvPlacer, worker: int) -> dict[str, Any]:
    router, active = placer.router, placer.router.active
    card, known = placer.model.cards.get(worker), router.workers.get(worker)
    routed, blind = placer.counts.routed_to.get(worker, NOTHING), placer.diagnosis.blind.get(worker, "")
    return {
        "service": card.instance.service if card is not None else "",
        "total_blocks": known.total_blocks if known is not None else 0,
        "blocks_known": router.known_blocks(worker),
        "active_blocks": active.blocks.get(worker, 0),
        "queued_tokens": active.prefill_tokens.get(worker, 0),
        "requests": active.requests.get(worker, 0),
        "routed": routed.requests,
        "prompt_tokens": routed.prompt_tokens,
        "found_tokens": routed.found_tokens,
        "blind": blind,
        "hint": WORDS.get(blind, ""),
        "by_router": {
            name: {"requests": share.requests, "queued_tokens": share.prefill_tokens}
            for name, share in active.shares(worker).items()
        },
    }
