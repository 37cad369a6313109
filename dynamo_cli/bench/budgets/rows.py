"""What is measured, and what of it may cost how much."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """`once`: measured in one run only, because a run is long or a second one would start elsewhere."""

    name: str
    what: str
    unit: str
    budget: float
    once: bool = False


SHORT = Row("short", "1,000 short chat requests, not streamed (62 in, 16 out, 64 connections)", "CPU-s", 0.25)
BURST = Row("burst", "100,000 streamed tokens in bursts (543 in, 128 out, 64 connections)", "CPU-s", 0.8)
PACED = Row("paced", "100,000 streamed tokens at 6 ms ITL, 8 streams", "CPU-s", 2.0)
E2E = Row("e2e", "E2E p50 of a 62-in/1-out request, one connection", "ms", 0.7)
TTFT = Row("ttft", "streamed TTFT p50 of the same", "ms", 1.0)
NEW_8K = Row("8k-new", "8k-token prompt, new", "CPU-ms", 8.0)
SAME_8K = Row("8k-same", "8k-token prompt, repeated", "CPU-ms", 1.0)
RSS_IDLE = Row("rss-idle", "frontend's resident memory, idle", "MB", 90.0, once=True)
RSS_30K = Row("rss-30k", "frontend's resident memory after 30,000 requests", "MB", 130.0, once=True)
FIRST = Row("up", "start with a mock worker, to the first answer (`dynamo up`)", "s", 2.0)
STATUS = Row("status", "`dynamo status`", "CPU-s", 0.3)
HELP = Row("help", "`dynamo --help`", "CPU-s", 0.2)
ROWS = (SHORT, BURST, PACED, E2E, TTFT, NEW_8K, SAME_8K, RSS_IDLE, RSS_30K, FIRST, STATUS, HELP)
