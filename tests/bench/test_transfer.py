"""The measurement of transfers measures."""

from __future__ import annotations

import msgspec
import pytest

from dynamo_cli.bench.transfer import command
from dynamo_cli.bench.transfer.measure import GIB, Round, Row, row_of


def test_a_row_is_the_median_of_its_rounds() -> None:
    rounds = [Round(GIB // 2, wall_s, [wall_s / 2] * 2, wall_s / 4, wall_s / 8) for wall_s in (1.0, 2.0, 8.0)]
    row = row_of("tcp", GIB // 4, rounds)
    assert (row.fetches, row.ms, row.gib_per_s) == (6, 1000.0, 0.25)
    assert (row.offering_cpu_s_per_gib, row.fetching_cpu_s_per_gib) == (1.0, 0.5)


@pytest.mark.slow
def test_it_measures_tcp(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_kinds", lambda: ["tcp"])
    monkeypatch.setattr(command, "SIZES", (1 << 16, 1 << 20))
    assert command.main(["--quick", "--json"]) == 0
    rows = msgspec.json.decode(capsys.readouterr().out, type=list[Row])
    assert [(row.transfer, row.size) for row in rows] == [("tcp", 1 << 16), ("tcp", 1 << 20)]
    assert all(row.gib_per_s > 0 and row.fetching_cpu_s_per_gib > 0 for row in rows)
    assert len(command.as_table(rows).splitlines()) == 3


def test_wrong_runs_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--runs", "0"]) == 2
    assert "--runs" in capsys.readouterr().err
