from __future__ import annotations

from dynamo_cli.protocol.kv import Cleared, Removed, Stored
from dynamo_cli.router.index import EventIndex

PROMPT = list(range(500, 520))


def test_slower_tiers_go_on_where_the_faster_one_ends() -> None:
    index = EventIndex()
    index.apply(1, Stored(PROMPT[:5]))
    index.apply(1, Stored(PROMPT[:12], "host"))
    index.apply(1, Stored(PROMPT[12:15], "disk"))
    index.apply(2, Stored(PROMPT[:3], "disk"))
    assert index.overlaps(PROMPT, [1, 2, 3]) == ({1: 5}, {1: 7}, {1: 3, 2: 3})
    index.apply(1, Removed(PROMPT[6:7], "host"))
    assert index.overlaps(PROMPT, [1]) == ({1: 5}, {1: 1}, {})


def test_only_candidates_are_asked_for_slower_tiers() -> None:
    index = EventIndex()
    index.apply(1, Stored(PROMPT, "host"))
    assert index.overlaps(PROMPT, [2]) == ({}, {}, {})


def test_cleared_means_every_tier_and_keeps_the_capacity() -> None:
    index = EventIndex()
    index.add_worker(1, 10)
    index.apply(1, Stored(PROMPT[:5]))
    index.apply(1, Stored(PROMPT, "host"))
    index.apply(1, Cleared())
    assert index.overlaps(PROMPT, [1]) == ({}, {}, {}) and len(index) == 0
    index.apply(1, Stored(PROMPT))
    assert len(index) == 10
