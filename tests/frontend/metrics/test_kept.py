from __future__ import annotations

import logging
from pathlib import Path

import pytest

from dynamo_cli.frontend.metrics.kept import Kept
from dynamo_cli.frontend.metrics.samples import Samples

TOLD: Samples = {"output_tokens_total": {("m",): 3}}


def test_what_was_written_is_read_by_the_next_and_by_the_others(tmp_path: Path) -> None:
    mine, other = Kept(tmp_path / "a.counts"), Kept(tmp_path / "b.counts")
    assert mine.read() == {}
    mine.write({**TOLD, "inflight_requests": {("m",): 1}})
    assert Kept(tmp_path / "a.counts").read() == TOLD
    assert (mine.others(), other.others()) == ([], [tmp_path / "a.counts"])
    assert other.read(other.others()[0]) == TOLD
    assert list(tmp_path.iterdir()) == [tmp_path / "a.counts"]


def test_a_place_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept(tmp_path / "gone" / "a.counts")
    with caplog.at_level(logging.WARNING):
        kept.write(TOLD)
        kept.write(TOLD)
    assert [record.getMessage() for record in caplog.records] == [
        f"the counts of this frontend end with its process: {tmp_path}/gone/a.counts: No such file or directory"
    ]
    assert (kept.read(), kept.others()) == ({}, [])
