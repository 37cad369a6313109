from __future__ import annotations

import json

from dynamo_cli.bench.chaos.asks import mixed_asks


def test_they_are_of_every_kind_and_always_the_same() -> None:
    asks = mixed_asks("m", 64)
    kinds = {(ask.path, ask.stream, ask.tokens) for ask in asks}
    assert kinds >= {
        (f"/v1/{path}", True, tokens) for path in ("chat/completions", "completions") for tokens in (12, 160)
    }
    assert {stream for _, stream, _ in kinds} == {True, False}
    assert len({ask.body for ask in asks}) == 64
    assert asks == mixed_asks("m", 64)
    assert all(json.loads(ask.body)["max_tokens"] == ask.tokens for ask in asks)
