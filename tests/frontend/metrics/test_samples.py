from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.frontend.metrics.families import FAMILIES, Family
from dynamo_cli.frontend.metrics.samples import Samples, Value, added_up, decode, encode, lasting
from dynamo_cli.runtime.histogram import Histogram


def value_of(family: Family) -> st.SearchStrategy[Value]:
    if family.kind == "histogram":
        counts = st.lists(st.integers(0, 9), min_size=3, max_size=3)
        return counts.map(lambda some: Histogram((1.0, 2.0), some, float(sum(some))))
    return st.integers(0, 10**6)


def values_of(family: Family) -> st.SearchStrategy[dict[tuple[str, ...], Value]]:
    return st.dictionaries(st.tuples(*[st.sampled_from("ab") for _ in family.labels]), value_of(family), max_size=2)


any_samples: st.SearchStrategy[Samples] = st.fixed_dictionaries(
    {}, optional={family.name: values_of(family) for family in FAMILIES[::3]}
)


@given(st.lists(any_samples, max_size=4), st.randoms())
def test_in_whatever_order_they_come_the_sum_is_the_same(several: list[Samples], random: object) -> None:
    total = added_up(several)
    random.shuffle(several)  # type: ignore[attr-defined]
    assert added_up(several) == total
    assert added_up([added_up(several[:2]), *several[2:]]) == total


@given(any_samples)
def test_they_cross_a_process_boundary(samples: Samples) -> None:
    assert decode(encode(samples)) == samples


def test_counts_add_up_what_all_see_does_not_and_what_is_gone_has_only_counts() -> None:
    one: Samples = {"output_tokens_total": {("m",): 3}, "model_ready": {("m",): 0}, "inflight_requests": {("m",): 2}}
    two: Samples = {"output_tokens_total": {("m",): 4, ("n",): 1}, "model_ready": {("m",): 1}}
    assert added_up([one, two]) == {
        "output_tokens_total": {("m",): 7, ("n",): 1},
        "model_ready": {("m",): 1},
        "inflight_requests": {("m",): 2},
    }
    assert lasting(one) == {"output_tokens_total": {("m",): 3}}


def test_what_another_version_tells_is_left_out() -> None:
    strange: Samples = {
        "invented_total": {(): 1},
        "output_tokens_total": {(): 1, ("m", "n"): 1, ("m",): Histogram((1.0,))},
        "template_seconds": {("m",): 1},
    }
    assert added_up([strange, {"output_tokens_total": {("m",): 2}}]) == {"output_tokens_total": {("m",): 2}}


@pytest.mark.parametrize(
    "data", [b"", b"rubbish", msgspec.msgpack.encode([1]), msgspec.msgpack.encode({"a": {(): "x"}})]
)
def test_rubbish_is_told_from_samples(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode(data)
