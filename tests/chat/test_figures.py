from __future__ import annotations

import pytest

from dynamo_cli.bench.answers import CachedTokens, Usage
from dynamo_cli.chat.figures import Figures, Totals
from dynamo_cli.chat.reply import Reply, decode
from dynamo_cli.errors import StreamIncomplete

USAGE = Usage(530, 64, CachedTokens(512))
FULL = Figures(0.021, 0.661, 30, USAGE, "decode-1", "stop")


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (FULL, "TTFT 21 ms · 95.3 tok/s · 64 tokens · decode-1 · 512 of 530 prompt tokens cached"),
        (Figures(0.021, 0.661, 30, Usage(530, 64)), "TTFT 21 ms · 95.3 tok/s · 64 tokens · 530 prompt tokens"),
        (Figures(0.021, 0.661, 30, Usage(0, 64)), "TTFT 21 ms · 95.3 tok/s · 64 tokens"),
        (Figures(0.1, 1.0, 11), "TTFT 100 ms · 10.0 chunks/s · 11 chunks"),
        (Figures(0.1, 0.0, 1, Usage(3, 1)), "TTFT 100 ms · 1 token · 3 prompt tokens"),
        (
            Figures(0.1, 0.0, 1, Usage(3, 9), "w", "length"),
            "TTFT 100 ms · 9 tokens (limit reached) · w · 3 prompt tokens",
        ),
        (Figures(0.0, 0.0, 0), "no text"),
    ],
)
def test_only_what_the_server_tells_is_said(figures: Figures, words: str) -> None:
    assert figures.words() == words


def test_a_narrow_terminal_gets_fewer_words() -> None:
    assert FULL.words(78, "stopped") == "stopped · TTFT 21 ms · 95.3 tok/s · 64 tokens · decode-1 · 512/530 cached"
    assert FULL.words(200, "stopped").startswith("stopped · TTFT 21 ms")


def test_totals() -> None:
    totals = Totals()
    assert totals.words() == "no answers yet"
    totals.add(FULL)
    totals.add(Figures(0.1, 0.0, 1, Usage(10, 1), "decode-0"))
    totals.add(Figures(0.0, 0.0, 0))
    assert totals.words().splitlines() == [
        "answers        3",
        "tokens         65 generated",
        "prompt tokens  540, 512 of them cached",
        "TTFT           61 ms on average, 100 ms at most",
        "speed          95.3 tok/s",
        "workers        decode-0 1, decode-1 1",
    ]


@pytest.mark.parametrize(
    ("nvext", "worker"),
    [
        ({"worker_id": {"decode_worker_id": "ab", "decode_worker": "decode-1"}}, "decode-1"),
        ({"worker_id": {"decode_worker_id": 171}}, "171"),
        ({"worker_id": None}, ""),
        ({"worker_id": [1]}, ""),
        ([], ""),
        ("x", ""),
        (None, ""),
    ],
)
def test_whatever_a_server_says_of_its_worker(nvext: object, worker: str) -> None:
    assert Reply(nvext=nvext).worker == worker


def test_a_broken_event() -> None:
    with pytest.raises(StreamIncomplete, match="the server sent a broken event"):
        decode(b'{"choices": 3}')
