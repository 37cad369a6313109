"""What frontends know of the workers: the answer of /router on their admin sockets, and of all of them together."""

from __future__ import annotations

import msgspec


class Share(msgspec.Struct):
    """What one router has in flight at a worker."""

    requests: int = 0
    queued_tokens: int = 0


class KnownWorker(msgspec.Struct, kw_only=True):
    """By one frontend. Blocks and tokens are counts; `total_blocks` 0 is unknown.

    `active_blocks`, `queued_tokens` and `requests` are in flight, of all routers it knows, `by_router` of each. Since
    it came, `routed` requests went there with `prompt_tokens`, of which `found_tokens` were thought to be there.
    `blind`: why nothing can be found there, `hint` in words. Router modes other than kv tell only of `requests`.
    """

    service: str = ""
    total_blocks: int = 0
    blocks_known: int = 0
    active_blocks: int = 0
    queued_tokens: int = 0
    requests: int = 0
    routed: int = 0
    prompt_tokens: int = 0
    found_tokens: int = 0
    blind: str = ""
    hint: str = ""
    by_router: dict[str, Share] = {}


class KnownModel(msgspec.Struct, kw_only=True):
    """`workers` by instance id. `block_size` in tokens, 0 in modes that know of no blocks."""

    block_size: int = 0
    workers: dict[str, KnownWorker] = {}


class UnseenWorker(msgspec.Struct):
    """A ready worker that gets no requests; `words` say why, and what helps."""

    model: str
    reason: str
    words: str


class Asks(msgspec.Struct):
    """`router`: the name of the router process that a frontend asks now, "" for none."""

    router: str = ""


class PrefillCounts(msgspec.Struct, kw_only=True):
    """What prefill workers did for one model: `prefills` of prompts, and `transfers` of their KV in `seconds`.

    `kept_local` prompts were computed where they were decoded on purpose, of which prefill workers `answered` so many,
    `fallbacks` because there was no other way.
    """

    prefills: int = 0
    kept_local: int = 0
    answered: int = 0
    fallbacks: int = 0
    transfers: int = 0
    tokens: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def __add__(self, other: PrefillCounts) -> PrefillCounts:
        names = self.__struct_fields__
        return PrefillCounts(**{name: getattr(self, name) + getattr(other, name) for name in names})


class RouterView(msgspec.Struct, kw_only=True):
    """One frontend's. `router`: its own name among routers; `routers`: the others, and whether all is known of them.

    `asks`: if it lets a router process choose.
    `refused`: workers that it does not use because they differ from the others, and why, by the supervisor's names.
    `prefills`: by model that has prefill workers.
    """

    mode: str
    router: str
    routers: dict[str, bool] = {}
    models: dict[str, KnownModel] = {}
    unseen: dict[str, UnseenWorker] = {}
    asks: Asks | None = None
    refused: dict[str, str] = {}
    prefills: dict[str, PrefillCounts] = {}


class WorkerRouting(msgspec.Struct, kw_only=True):
    """As all frontends together know it. `hit`: the share of prompt tokens sent there that were thought to be there.

    What a router mode does not count is None.
    """

    model: str
    worker: str
    worker_id: str
    total_blocks: int = 0
    blocks_known: int | None = None
    hit: float | None = None
    active_blocks: int | None = None
    queued_tokens: int | None = None
    requests: int = 0
    routed: int | None = None
    blind: str = ""


class RouterFrontend(msgspec.Struct, kw_only=True):
    """`knows`: the other frontends whose requests it counts. `asks`: it lets a router process choose.

    `problem`: why it told nothing.
    """

    name: str
    mode: str = ""
    router: str = ""
    knows: list[str] = []
    asks: bool = False
    problem: str = ""


class RoutingStatus(msgspec.Struct, kw_only=True):
    """`block_sizes` in tokens and `prefills` by model. `notes`: what is wrong, and what helps."""

    deployment: str
    frontends: list[RouterFrontend] = []
    block_sizes: dict[str, int] = {}
    workers: list[WorkerRouting] = []
    prefills: dict[str, PrefillCounts] = {}
    notes: list[str] = []
