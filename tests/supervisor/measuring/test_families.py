from __future__ import annotations

import math

from dynamo_cli.frontend.metrics.samples import Samples, add
from dynamo_cli.frontend.metrics.text import write
from dynamo_cli.runtime.histogram import Histogram
from dynamo_cli.supervisor.measuring.families import Reader

TEXT = b"""# HELP wanted_total what it is
# TYPE wanted_total counter
wanted_total{model="a",kind=""} 3
wanted_total{kind="x\\"} 9",model="b} 1"} 4.5
wanted_total 2 1700000000000
wanted_totals 100
unwanted 7
wanted_total{model="c"} what
wanted_gauge{} NaN
took_bucket{model="a",le="0.5"} 1
took_bucket{model="a",le="+Inf"} 2
took_bucket{le="0.5",model="b"} 3
took_bucket{le="+Inf",model="b"} 3
took_count{model="a"} 2
"""


def test_only_what_is_wanted_is_read_whatever_labels_hold() -> None:
    found = Reader(["wanted_total", "took_bucket", "absent"]).read(TEXT)
    assert found.total("wanted_total") == 9.5
    assert found.by("wanted_total", "model") == {"a": 3.0, "b} 1": 4.5, "": 2.0}
    assert found.by("wanted_total", "kind") == {"": 5.0, 'x\\"} 9': 4.5}
    assert "unwanted" not in found and "wanted_totals" not in found
    assert "absent" not in found and found.total("absent") == 0
    assert found.buckets("took") == ((0.5, math.inf), (4.0, 5.0))
    assert found.buckets("absent") == ((), ())


def test_what_is_no_metrics_has_none() -> None:
    for text in (b"", b"\xff\xfe\x00", b'{"status": "ready"}', b"wanted_total{broken 3"):
        assert "wanted_total" not in Reader(["wanted_total"]).read(text)


def test_what_a_frontend_writes_is_read_back() -> None:
    samples: Samples = {}
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.5, 5.0):
        histogram.observe(value)
    add(samples, "time_to_first_token_seconds", ('m"},\\\n1',), histogram)
    add(samples, "requests_total", ('m"},\\\n1', "chat", "stream", "error", "internal"), 3)
    names = ("dynamo_frontend_requests_total", "dynamo_frontend_time_to_first_token_seconds_bucket")
    found = Reader(names).read(write(samples))
    assert found.by("dynamo_frontend_requests_total", "error_type") == {"internal": 3.0}
    told = found.buckets("dynamo_frontend_time_to_first_token_seconds")
    assert told == ((0.1, 1.0, math.inf), (1.0, 2.0, 3.0))
