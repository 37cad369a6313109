from __future__ import annotations

import pytest

from dynamo_cli.protocol.measures import GpuMeasures, Traffic, Transfers
from dynamo_cli.supervisor.measuring.words import amount, gpu_line, latency, share, traffic_lines


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (None, "", "-"),
        (0, "", "0"),
        (0.04, "", "0.0"),
        (3.27, "", "3.3"),
        (4.0, "", "4"),
        (9.96, "", "10"),
        (1234.4, "", "1,234"),
        (0, "B", "0 B"),
        (999, "B", "999 B"),
        (999.9, "B", "1.0 kB"),
        (74_649_600, "B", "75 MB"),
        (1_260_000_000, "B", "1.3 GB"),
        (5e15, "B", "5,000 TB"),
    ],
)
def test_amounts(value: float | None, unit: str, words: str) -> None:
    assert amount(value, unit) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "-"), (0.0004, "0.4 ms"), (0.0768, "77 ms"), (0.9999, "1 s"), (1.24, "1.2 s"), (41.3, "41 s")],
)
def test_latencies(seconds: float | None, words: str) -> None:
    assert latency(seconds) == words


def test_shares() -> None:
    assert [share(value) for value in (None, 0.0, 0.256, 7.5)] == ["-", "0%", "26%", "750%"]


def test_traffic_is_told_in_lines_that_fit_a_terminal() -> None:
    assert traffic_lines(None) == []
    assert traffic_lines(Traffic()) == ["no requests yet"]
    busy = Traffic(
        **{"window_s": 10.0, "in_flight": 12, "requests_s": 3.27, "output_tokens_s": 1047.2, "requests_total": 61},
        **{"ttft_p50_s": 0.0768, "ttft_p99_s": 0.2092, "itl_p50_s": 0.00536},
        transfers=Transfers(
            transfers_s=3.2, bytes_s=8.7e8, transfers_total=60, bytes_total=15_964_569_600, kept_local_total=1
        ),
    )
    assert traffic_lines(busy) == [
        "3.3 req/s  1,047 tok/s  12 in flight  TTFT p50 77 ms, p99 209 ms  ITL p50 5.4 ms",
        "3.2 transfers/s  870 MB/s  60 in all, 16 GB  1 kept local  0 fallbacks",
    ]
    assert max(map(len, traffic_lines(busy))) <= 80
    assert traffic_lines(Traffic(requests_total=5, failed_total=2))[0].endswith("2 failed")


def test_a_gpu_is_a_line_without_what_is_not_told() -> None:
    gpu = GpuMeasures(index=1, name="Fake 80", memory_used=40 * 10**9, memory_total=80 * 10**9, services=["a", "b"])
    assert gpu_line(gpu) == "GPU 1 Fake 80  37.3 GiB of 74.5 GiB  a, b"
