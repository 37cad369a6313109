from __future__ import annotations

import json

import pytest

from dynamo_cli.bench import router


def test_every_row_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert router.main(["--quick", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["row"] for row in report["results"]] == [row.name for row in router.ROWS]
    assert all(row["measured"] > 0 for row in report["results"])


def test_a_row_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert router.main(["nonsense"]) == 2
    assert "there is no row nonsense; the rows are short-8" in capsys.readouterr().err
