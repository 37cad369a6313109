from __future__ import annotations

from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from dynamo_cli.errors import UsageError
from dynamo_cli.frontend.metrics.families import BY_NAME, FAMILIES, Family
from dynamo_cli.frontend.metrics.samples import Samples, Value
from dynamo_cli.frontend.metrics.text import check_prefix, write
from dynamo_cli.runtime.histogram import Histogram

Key: TypeAlias = tuple[str, frozenset[tuple[str, str]]]


def parsed(text: bytes) -> dict[Key, float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def example(family: Family) -> Value:
    return Histogram((0.5, 1.0), [1, 2, 3], 4.5) if family.kind == "histogram" else 7


ALL: Samples = {family.name: {tuple("x" for _ in family.labels): example(family)} for family in FAMILIES}


def test_every_family_is_read_by_prometheus_own_parser_with_its_type_and_help() -> None:
    text = write(ALL, "mine")
    read = list(text_string_to_metric_families(text.decode()))
    assert len(read) == len(FAMILIES)
    for family, metric in zip(FAMILIES, read, strict=True):
        name = f"mine_{family.name}" if family.prefixed else family.name
        assert metric.name == (name.removesuffix("_total") if family.kind == "counter" else name)
        assert (metric.type, metric.documentation) == (family.kind, family.help)
        assert all({*sample.labels} - {"le"} == {*family.labels} for sample in metric.samples)
    assert text.endswith(b"\n")
    lines = text.decode().splitlines()
    assert len(lines) == len(set(lines))


def test_a_histogram_adds_up() -> None:
    found = parsed(write({"template_seconds": {("m",): Histogram((0.5, 1.0), [1, 2, 3], 4.5)}}))
    model = ("model", "m")
    buckets = {
        bound: found["dynamo_frontend_template_seconds_bucket", frozenset({model, ("le", bound)})]
        for bound in ("0.5", "1.0", "+Inf")
    }
    assert buckets == {"0.5": 1, "1.0": 3, "+Inf": 6}
    assert found["dynamo_frontend_template_seconds_count", frozenset({model})] == 6
    assert found["dynamo_frontend_template_seconds_sum", frozenset({model})] == 4.5


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers() | st.floats(allow_nan=False))
def test_any_label_and_any_number_survive(model: str, value: float) -> None:
    found = parsed(write({"output_tokens_total": {(model,): value}}))
    assert found == {("dynamo_frontend_output_tokens_total", frozenset({("model", model)})): value}


def test_what_has_no_samples_is_not_named() -> None:
    assert write({"output_tokens_total": {}}) == b""


@pytest.mark.parametrize(("given", "meant"), [("nv_llm_", "nv_llm"), ("a:b", "a:b"), ("_", "_")])
def test_a_prefix(given: str, meant: str) -> None:
    assert check_prefix(given) == meant


@pytest.mark.parametrize("prefix", ["", "9lives", "with space", "a-b", "ä"])
def test_a_prefix_that_no_metric_can_have_is_refused(prefix: str) -> None:
    with pytest.raises(UsageError, match="metrics prefix"):
        check_prefix(prefix)


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(FAMILIES)
