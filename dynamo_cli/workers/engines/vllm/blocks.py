"""The engine's KV events -> ours: what it calls by names of its own is named by its tokens."""

from __future__ import annotations

from dynamo_cli.protocol.kv import Cleared, KvEvent, Removed, Stored, Tier, adapter_seed, chain, local_hashes
from dynamo_cli.workers.engines.vllm import wire

_TIERS: dict[str | None, Tier] = {None: "device", "GPU": "device", "CPU": "host", "STORAGE": "disk"}
_WHOLE_PREFIX = (None, "full_attention", "mla_attention", "sink_full_attention")
"""Caches whose blocks stand for all tokens before them. A sliding window forgets; no prefix can be told from it."""


class _Block:
    """`copies`: in how many of the engine's blocks it is, by tier."""

    __slots__ = ("copies", "hash")

    def __init__(self, hash: int) -> None:
        self.hash = hash
        self.copies: dict[Tier, int] = {}


class BlockNames:
    """`unplaced` counts blocks that have no name of ours: their prefix is not known, or is not one of tokens alone."""

    def __init__(self, block_size: int) -> None:
        self.unplaced = 0
        self._block_size = block_size
        self._blocks: dict[wire.Hash, _Block] = {}
        self._group: int | None = None

    def translated(self, events: list[wire.Stored | wire.Removed | wire.Cleared]) -> list[KvEvent]:
        told: list[KvEvent] = []
        for event in events:
            if isinstance(event, wire.Cleared):
                self.clear()
                told.append(Cleared())
            elif isinstance(event, wire.Stored):
                self._store(event, told)
            else:
                self._remove(event, told)
        return told

    def clear(self) -> None:
        self._blocks.clear()

    def _store(self, event: wire.Stored, told: list[KvEvent]) -> None:
        if event.block_size != self._block_size or event.kind not in _WHOLE_PREFIX or self._is_other(event.group):
            return
        self._group = event.group
        tier = _TIERS.get(event.medium, "device")
        known = self._named(event)
        self.unplaced += len(event.hashes) - len(known)
        new = []
        for name, hash in zip(event.hashes, known, strict=False):
            block = self._blocks.setdefault(name, _Block(hash))
            if tier not in block.copies:
                new.append(hash)
            block.copies[tier] = block.copies.get(tier, 0) + 1
        if new:
            told.append(Stored(new, tier))

    def _named(self, event: wire.Stored) -> list[int]:
        parent = None if event.parent is None else self._blocks.get(event.parent)
        if parent is None and event.parent is not None:
            return []
        tokens = event.token_ids[: event.by_tokens * self._block_size]
        local = local_hashes(tokens, self._block_size, seed=adapter_seed(event.adapter))
        return chain(local, None if parent is None else parent.hash)

    def _remove(self, event: wire.Removed, told: list[KvEvent]) -> None:
        if self._is_other(event.group):
            return
        tier = _TIERS.get(event.medium, "device")
        gone = []
        for name in event.hashes:
            block = self._blocks.get(name)
            copies = 0 if block is None else block.copies.get(tier, 0)
            if block is None or not copies:
                continue
            if copies > 1:
                block.copies[tier] = copies - 1
                continue
            del block.copies[tier]
            gone.append(block.hash)
            if not block.copies:
                del self._blocks[name]
        if gone:
            told.append(Removed(gone, tier))

    def _is_other(self, group: int | None) -> bool:
        """A model of several caches is followed by its first one that stands for whole prefixes."""
        return self._group is not None and group != self._group
