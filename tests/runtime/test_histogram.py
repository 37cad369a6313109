from __future__ import annotations

from typing import TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.runtime.histogram import Histogram

Values: TypeAlias = list[tuple[float, int]]
values = st.lists(st.tuples(st.integers(0, 20).map(float), st.integers(0, 5)))
bounds = st.sets(st.integers(0, 15).map(float), max_size=6).map(lambda some: tuple(sorted(some)))


def filled(limits: tuple[float, ...], observed: Values) -> Histogram:
    histogram = Histogram(limits)
    for value, times in observed:
        histogram.observe(value, times)
    return histogram


@given(values)
def test_every_value_is_in_the_first_bucket_that_holds_it(observed: Values) -> None:
    histogram = filled((1.0, 5.0, 10.0), observed)
    for at, (low, high) in enumerate([(-1, 1), (1, 5), (5, 10), (10, 99)]):
        assert histogram.counts[at] == sum(times for value, times in observed if low < value <= high)


@given(bounds, bounds, values, values)
def test_a_sum_is_the_histogram_of_all_values(
    one: tuple[float, ...], two: tuple[float, ...], first: Values, second: Values
) -> None:
    total = filled(one, first) + filled(two, second)
    assert set(total.bounds) == {*one} & {*two}
    assert total == filled(total.bounds, first + second)


def test_it_crosses_a_process_boundary_only_whole() -> None:
    histogram = filled((1.0, 2.0), [(1.5, 3)])
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(histogram), type=Histogram) == histogram
    with pytest.raises(msgspec.ValidationError, match="2 counts for 2 bounds"):
        msgspec.convert({"bounds": [1.0, 2.0], "counts": [1, 2], "sum": 0.0}, Histogram)
