from __future__ import annotations

import pytest

from dynamo_cli.protocol.load import NO_THRESHOLDS, BusyThresholds
from dynamo_cli.router.busy import UNKNOWN, Capacity, is_busy, judges
from dynamo_cli.router.load import LoadNow

HUNDRED = Capacity(blocks=100, batch=1000)
BLOCKS = BusyThresholds(active_decode_blocks_threshold=0.5)
TOKENS = BusyThresholds(active_prefill_tokens_threshold=300)
BATCH = BusyThresholds(active_prefill_tokens_threshold_frac=2.0)
ALL = BusyThresholds(
    active_decode_blocks_threshold=0.5,
    active_prefill_tokens_threshold=300,
    active_prefill_tokens_threshold_frac=2.0,
)


@pytest.mark.parametrize(
    ("thresholds", "load", "capacity", "busy"),
    [
        (NO_THRESHOLDS, LoadNow(100, 10**9), HUNDRED, False),
        (BLOCKS, LoadNow(50, 10**9), HUNDRED, False),
        (BLOCKS, LoadNow(51, 0), HUNDRED, True),
        (BLOCKS, LoadNow(10**6, 0), UNKNOWN, False),
        (TOKENS, LoadNow(100, 300), HUNDRED, False),
        (TOKENS, LoadNow(0, 301), HUNDRED, True),
        (TOKENS, LoadNow(0, 301), UNKNOWN, True),
        (BATCH, LoadNow(100, 2000), HUNDRED, False),
        (BATCH, LoadNow(0, 2001), HUNDRED, True),
        (BATCH, LoadNow(0, 10**9), UNKNOWN, False),
        (ALL, LoadNow(50, 300), HUNDRED, False),
        (ALL, LoadNow(51, 0), HUNDRED, True),
        (ALL, LoadNow(0, 301), HUNDRED, True),
        (BusyThresholds(active_prefill_tokens_threshold=0), LoadNow(0, 0), HUNDRED, False),
        (BusyThresholds(active_decode_blocks_threshold=0.0), LoadNow(1, 0), HUNDRED, True),
    ],
)
def test_over_any_known_limit_is_busy(
    thresholds: BusyThresholds, load: LoadNow, capacity: Capacity, busy: bool
) -> None:
    assert is_busy(thresholds, load, capacity) is busy


def test_thresholds_that_were_all_taken_back_judge_nothing() -> None:
    assert judges(BusyThresholds(active_prefill_tokens_threshold=0))
    assert not judges(BusyThresholds())
