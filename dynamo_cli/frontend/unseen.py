"""Workers that are ready and get no requests from this frontend, because it does not know or cannot use them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from time import monotonic
from typing import NamedTuple

from dynamo_cli.routing.registry import ModelRegistry

log = logging.getLogger(__name__)
UNSEEN_S = 5.0
"""So long a ready worker may be on its way here."""
ELSEWHERE, UNREACHABLE, REFUSED = "elsewhere", "unreachable", "refused"
REASONS = (ELSEWHERE, UNREACHABLE, REFUSED)
WORDS = {
    ELSEWHERE: "is ready, but not registered where this frontend looks: give both the same discovery store "
    "(DYN_DISCOVERY_BACKEND, DYN_FILE_KV) and namespace (--namespace, DYN_NAMESPACE)",
    UNREACHABLE: "is ready and registered, but out of rotation: it does not answer this frontend; give both the same "
    "DYN_TOKEN, and let its DYN_TCP_RPC_HOST be an address that can be reached from here",
}


class Missing(NamedTuple):
    """`words`: what is wrong and what helps; the worker's name goes before it."""

    model: str
    reason: str
    words: str


class Unseen:
    """Hears from the supervisor which workers are ready. `workers`: those that are missed, by service.

    `only`: the one model that is served here, None for all. `clock`: seconds, never going back.
    """

    def __init__(
        self, registry: ModelRegistry, only: str | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self.workers: dict[str, Missing] = {}
        self._registry = registry
        self._only = only
        self._clock = clock
        self._since: dict[str, float] = {}

    def told(self, ready: Mapping[str, str]) -> None:
        """These services are ready workers of these models: all there are now."""
        now = self._clock()
        missing = self._missing({name: model for name, model in ready.items() if self._only in (None, model)})
        self._since = {name: self._since.get(name, now) for name in missing}
        for name in self.workers.keys() - missing.keys():
            if name in ready:
                log.info("worker %s of model %s is in rotation now", name, self.workers[name].model)
            del self.workers[name]
        for name, found in missing.items():
            if now - self._since[name] >= UNSEEN_S and self.workers.get(name) != found:
                self.workers[name] = found
                if found.reason != REFUSED:  # whoever refused it has said so
                    log.warning("worker %s of model %s %s", name, found.model, found.words)

    def _missing(self, ready: Mapping[str, str]) -> dict[str, Missing]:
        registry = self._registry
        refused = {refusal.card.instance.service: refusal.reason for refusal in registry.refused}
        models = registry.models.values()
        known = {card.instance.service for model in models for card in model.cards.values()}
        usable = {
            model.cards[worker].instance.service
            for model in models
            for worker in model.candidates
            if worker in model.cards
        }
        missing = {}
        for name, model in ready.items():
            if name in known and name not in usable:
                missing[name] = Missing(model, UNREACHABLE, WORDS[UNREACHABLE])
            elif name not in known and name in refused:
                missing[name] = Missing(model, REFUSED, f"is ready, but not used: {refused[name]}")
            elif name not in known:
                missing[name] = Missing(model, ELSEWHERE, WORDS[ELSEWHERE])
        return missing
