from __future__ import annotations

import pytest

from dynamo_cli.workers.engines.mock.simulation.timing import StepClock, decode_ms, prefill_ms


@pytest.mark.parametrize("tokens", [1, 64, 543, 8192])
def test_prefill_follows_the_polynomial(tokens: int) -> None:
    assert prefill_ms(tokens) == pytest.approx(4.209989e-07 * tokens**2 + 1.518344e-02 * tokens + 16.50142, rel=1e-12)


def test_no_prefill_takes_no_time() -> None:
    assert prefill_ms(0) == 0.0


@pytest.mark.parametrize(("occupancy", "expected"), [(0.0, 5.74), (0.5, 26.31), (1.0, 34.01), (-0.2, 1.0)])
def test_decode_follows_the_occupancy_and_never_takes_less_than_a_millisecond(
    occupancy: float, expected: float
) -> None:
    assert decode_ms(occupancy) == pytest.approx(expected)


def test_speedups_divide() -> None:
    assert StepClock(2.0, 5.0).seconds(100, True, 0.25) == pytest.approx(
        (prefill_ms(100) + decode_ms(0.25) / 5) / 2 / 1000
    )
    assert StepClock(2.0).seconds(100, False, 0.25) == pytest.approx(prefill_ms(100) / 2000)


def test_no_speedup_means_no_delay() -> None:
    assert StepClock(0.0).seconds(8192, True, 1.0) == 0.0
    assert StepClock(1.0, 0.0).seconds(0, True, 1.0) == 0.0
