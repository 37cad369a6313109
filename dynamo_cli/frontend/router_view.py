"""GET /router on the admin socket: what this frontend knows of the workers."""

from __future__ import annotations

from typing import Any

from dynamo_cli.errors import RouteMissing
from dynamo_cli.frontend.models import Models
from dynamo_cli.frontend.unseen import Unseen
from dynamo_cli.routing.kv_counts import NOTHING
from dynamo_cli.routing.kv_diagnosis import WORDS
from dynamo_cli.routing.kv_placing import KvPlacer
from dynamo_cli.routing.placing import Placer
from dynamo_cli.routing.shared_sequences import SharedSequences
from dynamo_cli.runtime.http.exchange import Exchange

PATH = "/router"


class RouterView:
    """`show` is the handler; `routers` of the answer says of which others all is known."""

    def __init__(self, models: Models, shared: SharedSequences, mode: str, unseen: Unseen) -> None:
        self._models = models
        self._shared = shared
        self._mode = mode
        self._unseen = unseen

    def show(self, exchange: Exchange) -> None:
        """Raises RouteMissing on the public port."""
        if not exchange.request.trusted:
            raise RouteMissing(f"there is no {exchange.request.path} here")
        placers = [dispatcher.placer for dispatcher in self._models.dispatchers]
        models = {
            placer.model.name: _model(placer) if isinstance(placer, KvPlacer) else _plain(placer) for placer in placers
        }
        shared = self._shared
        view = {"mode": self._mode, "router": shared.router_id, "routers": shared.routers(), "models": models}
        exchange.send_json(view | {"unseen": {name: one._asdict() for name, one in self._unseen.workers.items()}})


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
