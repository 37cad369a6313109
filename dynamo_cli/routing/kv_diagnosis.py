"""Why KV-aware routing finds nothing at a worker, said once, with what helps."""

from __future__ import annotations

import logging

from dynamo_cli.protocol.instance import ModelCard
from dynamo_cli.routing.registry import RoutedModel

log = logging.getLogger(__name__)
SILENT_S = 5.0
"""So long after a worker's first answer its events are missed."""

NO_CACHE, NO_SIZE, SILENT = "no_prefix_cache", "no_block_size", "silent"
WORDS = {
    NO_CACHE: "keeps no prefixes: switch its prefix caching on, or use another router mode",
    NO_SIZE: "tells of its KV cache, but not how many tokens a block has: what it holds is guessed; "
    "let its engine declare kv_block_size",
    SILENT: f"declares KV events, and none has come in {SILENT_S:g} s after its first answer: it is taken to hold "
    "nothing. Let frontends reach its event plane (the same DYN_TOKEN, discovery and DYN_TCP_RPC_HOST), or start them "
    "with --no-router-kv-events",
}
"""What is wrong by reason, and what helps; a worker's name goes before it."""
REASONS = tuple(WORDS)


class KvDiagnosis:
    """Of one model. `blind`: the reason by worker, of those where nothing can be found."""

    def __init__(self, model: RoutedModel) -> None:
        self.blind: dict[int, str] = {}
        self._model = model
        self._awaited: dict[int, float | None] = {}
        self._next = 0.0
        self._size_told = 0

    def joined(self, worker: int, card: ModelCard, told: bool) -> None:
        """A worker has come; `told`: its events are awaited."""
        if told:
            self._awaited[worker] = None
        if not card.prefix_caching:
            self._say(worker, NO_CACHE)
        elif card.kv_events and not card.identity.kv_block_size:
            self._say(worker, NO_SIZE)

    def left(self, worker: int) -> None:
        self.blind.pop(worker, None)
        self._awaited.pop(worker, None)

    def block_size_is(self, used: int, wanted: int | None) -> None:
        """The router hashes blocks of `used` tokens, as the workers say; `wanted` was set for it by hand."""
        if wanted not in (None, used) and self._size_told != used:
            self._size_told = used
            log.warning(
                "the workers of model %s have KV blocks of %d tokens: --kv-cache-block-size %d is not used",
                self._model.name,
                used,
                wanted,
            )

    def heard(self, worker: int) -> None:
        """It has told of a block."""
        if self._awaited:
            self._awaited.pop(worker, None)
            if self.blind.get(worker) == SILENT:
                del self.blind[worker]
                log.info("worker %s tells of its KV cache now", self._model.describe(worker))

    def answered(self, worker: int, now: float) -> None:
        """It has computed a prompt with full blocks, so it should tell of them."""
        if self._awaited and self._awaited.get(worker, now) is None:
            self._awaited[worker] = now
        if now >= self._next:
            self._next = now + SILENT_S
            self._look(now)

    def _look(self, now: float) -> None:
        for worker, since in self._awaited.items():
            if since is not None and now - since >= SILENT_S and worker not in self.blind:
                self._say(worker, SILENT)

    def _say(self, worker: int, reason: str) -> None:
        self.blind[worker] = reason
        log.warning("worker %s of model %s %s", self._model.describe(worker), self._model.name, WORDS[reason])
