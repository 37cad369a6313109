from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dynamo_cli.errors import ResourceMissing
from dynamo_cli.workers.metrics_files import VARIABLE, MetricsFiles
from dynamo_cli.workers.system.metrics import WorkerMetrics, labelled

LABELS = {"model": 'a "b"\\', "engine": "toy"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("# TYPE x gauge", "# TYPE x gauge"),
        ("x 1", 'x{model="a \\"b\\"\\\\",engine="toy"} 1'),
        ("x{} 1", 'x{model="a \\"b\\"\\\\",engine="toy"} 1'),
        ('x{engine="0"} 1 1700', 'x{model="a \\"b\\"\\\\",engine="0"} 1 1700'),
        (
            'x{le="+Inf",said="}, model=\\"y\\""} 2',
            'x{model="a \\"b\\"\\\\",engine="toy",le="+Inf",said="}, model=\\"y\\""} 2',
        ),
        ('x{model="m",engine="e",} NaN', 'x{model="m",engine="e"} NaN'),
        ("1x 2", "1x 2"),
    ],
)
def test_labels_are_added_where_there_are_none_of_that_name(line: str, expected: str) -> None:
    assert labelled(line, LABELS) == f"{expected}\n"
    assert labelled("", LABELS) == ""


def test_an_engine_that_cannot_tell_costs_only_its_own_series() -> None:
    def broken() -> str:
        raise RuntimeError("no metrics")

    assert WorkerMetrics({"a": "b"}, lambda: "own 1\n", broken).text() == b"own 1\n"
    assert WorkerMetrics({"a": "b"}, lambda: "own 1\n", lambda: "x 2").text() == b'own 1\nx{a="b"} 2\n'


def test_the_directory_of_metrics_is_there_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for left in (f"metrics-{dead.pid}", f"metrics-{os.getppid()}"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "counter_1.db").write_text("")
    files = MetricsFiles(tmp_path)
    directory = Path(os.environ[VARIABLE])
    assert directory.is_dir() and directory.stat().st_mode & 0o777 == 0o700
    assert sorted(tmp_path.iterdir()) == sorted([directory, tmp_path / f"metrics-{os.getppid()}"])
    (directory / "gauge_1.db").write_text("")
    files.close()
    assert VARIABLE not in os.environ and not directory.exists()


def test_a_directory_that_was_named_is_made_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "deep" / "mine"
    monkeypatch.setenv(VARIABLE, str(mine))
    MetricsFiles(tmp_path).close()
    assert mine.is_dir() and os.environ[VARIABLE] == str(mine)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file" / "x"))
    with pytest.raises(ResourceMissing, match=VARIABLE):
        MetricsFiles(tmp_path)
