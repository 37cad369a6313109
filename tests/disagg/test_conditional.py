"""When a decode worker computes a prompt itself: the reference's rules, one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.disagg.conditional import CONDITIONAL_POLICIES, ConditionalDisagg, Outlook, stays_local

ISL = ConditionalDisagg()
LOAD = ConditionalDisagg(policy="prefill_load")
EITHER = ConditionalDisagg(policy="isl_or_load")
VETO = ConditionalDisagg(policy="isl_or_load", decode_busy_threshold=0.5)
ANY_SHARE = ConditionalDisagg(eff_isl_ratio_threshold=2.0)


@pytest.mark.parametrize(
    ("options", "outlook", "local"),
    [
        (ISL, Outlook(10_000, 9_000), True),
        (ISL, Outlook(10_000, 7_953), True),
        (ISL, Outlook(10_000, 7_952), False),  # 2048 to be computed: not fewer
        (ISL, Outlook(1000, 301), True),
        (ISL, Outlook(1000, 300), False),  # 0.7 of it: not less
        (ISL, Outlook(1000), False),
        (ISL, Outlook(1000, 1000), True),
        (ISL, Outlook(1000, 2000), True),
        (ISL, Outlook(0), True),
        (ISL, Outlook(1000, 0, prefill_queue=99.0), False),
        (ANY_SHARE, Outlook(2047), True),
        (ANY_SHARE, Outlook(2048), False),
        (LOAD, Outlook(10_000, 9_999, 0.99), False),
        (LOAD, Outlook(10_000, 0, 1.0), True),
        (EITHER, Outlook(10_000, 9_999), True),
        (EITHER, Outlook(10_000, 0, 1.0), True),
        (EITHER, Outlook(10_000, 0, 0.99), False),
        (VETO, Outlook(10_000, 9_999, 5.0, 0.51), False),
        (VETO, Outlook(10_000, 9_999, 5.0, 0.5), True),
    ],
)
def test_each_rule(options: ConditionalDisagg, outlook: Outlook, local: bool) -> None:
    assert stays_local(options, outlook) == local


@given(
    st.sampled_from(CONDITIONAL_POLICIES),
    st.integers(0, 20_000),
    st.integers(0, 20_000),
    st.floats(0, 10),
    st.floats(0, 1),
    st.integers(0, 100),
)
def test_finding_more_never_sends_a_prompt_away(
    policy: str, tokens: int, found: int, queue: float, usage: float, more: int
) -> None:
    options = ConditionalDisagg(policy=policy, decode_busy_threshold=0.9)  # type: ignore[arg-type]
    if stays_local(options, Outlook(tokens, found, queue, usage)):
        assert stays_local(options, Outlook(tokens, found + more, queue, usage))
