"""What KV events cost, measured between real processes."""

from __future__ import annotations

import json

import pytest

from dynamo_cli.bench.events import command
from dynamo_cli.bench.events.cache import EVENT_BLOCKS, FullCache
from dynamo_cli.bench.events.measure import ROWS
from dynamo_cli.protocol.held_blocks import HeldBlocks


@pytest.mark.slow
def test_every_row_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--quick", "--json", "--rate", "20000", "--publishers", "2"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["row"] for row in report["results"]] == [row.name for row in ROWS]
    assert all(row["measured"] > 0 for row in report["results"] if row["unit"] == "x")


@pytest.mark.parametrize(
    ("words", "line"),
    [(["nonsense"], "there is no row nonsense; the rows are frontend"), (["--rate", "0"], "--publishers and --rate")],
)
def test_what_cannot_be_measured_is_refused(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(words) == 2
    assert line in capsys.readouterr().err


def test_a_cache_stays_full_and_its_events_tell_what_it_holds() -> None:
    cache, told = FullCache(8, seed=1), HeldBlocks()
    for event in (event for message in cache.dump() for event in message):
        told.apply(event)
    for _ in range(30):
        for event in cache.turn():
            told.apply(event)
        assert len(told) == 8 * EVENT_BLOCKS
    dumped = {block for message in cache.dump() for event in message for block in event.hashes}
    assert {block for message in told.events() for event in message for block in event.hashes} == dumped
