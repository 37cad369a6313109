"""What `make flood` measures, for a few seconds: keys are answered while a log floods, and memory does not grow.

How long the slowest key took tells of the other processes of the machine, too; `make flood` prints it.
"""

from __future__ import annotations

import statistics

import pytest

from tests.tui.flood import measure

pytestmark = [pytest.mark.slow, pytest.mark.alone]

LINES_S = 10_000.0
ANSWERED_MS = 200.0
CORES = 0.6
GROWN = 10 << 20


async def test_ten_thousand_lines_a_second() -> None:
    measured = await measure(LINES_S, seconds=6.0)
    assert len(measured.keys_ms) > 10
    assert statistics.median(measured.keys_ms) < ANSWERED_MS, measured.words
    assert measured.cpu < CORES, measured.words
    assert measured.grown < GROWN, measured.words
