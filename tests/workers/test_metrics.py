from __future__ import annotations

import pytest

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
