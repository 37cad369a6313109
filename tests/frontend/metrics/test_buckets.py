from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.errors import UsageError
from dynamo_cli.frontend.metrics.buckets import DEFAULT_BUCKETS, Buckets, log_spaced


def test_the_references_bounds() -> None:
    assert DEFAULT_BUCKETS.first_token == (
        *(0.0, 0.0022, 0.0047, 0.01, 0.022, 0.047, 0.1, 0.22, 0.47),
        *(1.0, 2.2, 4.7, 10.0, 22.0, 48.0, 100.0, 220.0, 480.0),
    )
    assert DEFAULT_BUCKETS.request_duration == (0.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 130.0, 260.0, 510.0)


@given(st.floats(1e-6, 10), st.floats(1.1, 1e6), st.integers(1, 512))
def test_bounds_ascend_from_zero(least: float, ratio: float, count: int) -> None:
    bounds = log_spaced(least, least * ratio, count)
    assert bounds[0] == 0
    assert list(bounds) == sorted(set(bounds))
    assert len(bounds) <= count
    assert count == 1 or bounds[-1] == pytest.approx(least * ratio, rel=0.06)


@pytest.mark.parametrize("spelling", ["DYN_METRICS_TTFT", "DYN_HISTOGRAM_TTFT", "DYN_HISTOGRAM_DYN_METRICS_TTFT"])
def test_variables_change_them(spelling: str) -> None:
    buckets = Buckets.from_environment({f"{spelling}_MIN": "1", f"{spelling}_MAX": "100", f"{spelling}_COUNT": "3"})
    assert buckets.first_token == (0.0, 10.0, 100.0)
    assert buckets.between_tokens == DEFAULT_BUCKETS.between_tokens


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"DYN_METRICS_ITL_MIN": "much"}, "DYN_METRICS_ITL_MIN='much' is no number"),
        ({"DYN_METRICS_ITL_MIN": "3"}, "DYN_METRICS_ITL_MIN 3 and DYN_METRICS_ITL_MAX 2: want 0 < MIN < MAX"),
        ({"DYN_METRICS_ITL_MIN": "0"}, "want 0 < MIN < MAX"),
        ({"DYN_METRICS_TTFT_COUNT": "1.5"}, "DYN_METRICS_TTFT_COUNT 1.5 must be a whole number from 1 to 512"),
        ({"DYN_METRICS_TTFT_COUNT": "513"}, "whole number from 1 to 512"),
    ],
)
def test_what_cannot_be_is_refused_by_name(environ: Mapping[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Buckets.from_environment(environ)
