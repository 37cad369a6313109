"""Request records made from a seed: what a server with a queue would give, without one."""

from __future__ import annotations

import random
from typing import Any

from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.bench.report import Point, Report, Run, Summary, make_report
from dynamo_cli.bench.slo import Slo


def record(number: int = 0, **changes: Any) -> RequestRecord:
    """A complete answer of four tokens: sent at 0, first token after 10 ms, then one every 5 ms."""
    fields: dict[str, Any] = {
        "id": number,
        "due_ms": 0.0,
        "sent_ms": 0.0,
        "e2e_ms": 25.0,
        "ttft_ms": 10.0,
        "tpot_ms": 5.0,
        "itl_ms": [5.0, 5.0, 5.0],
        "chunk_ms": [5.0, 5.0, 5.0],
        "prompt_tokens": 8,
        "completion_tokens": 4,
        "requested_tokens": 4,
    }
    return RequestRecord(**{**fields, **changes})


def made(seed: int, count: int, *, gap_ms: float = 20.0, itl_ms: float = 6.0, failing: float = 0.0, tokens: int = 24):
    """`count` requests on a schedule of one every `gap_ms`; `failing`: the share that gets no answer."""
    rng = random.Random(seed)
    records = []
    for number in range(count):
        due = number * gap_ms
        sent = due + rng.expovariate(2.0)
        if rng.random() < failing:
            records.append(
                RequestRecord(id=number, due_ms=due, sent_ms=sent, e2e_ms=3.0, error="http 529", detail="full")
            )
            continue
        ttft = 8 + rng.lognormvariate(1.5, 0.6)
        gaps = [max(0.1, rng.gauss(itl_ms, 0.4)) for _ in range(tokens - 1)]
        records.append(
            record(
                number,
                due_ms=due,
                sent_ms=sent,
                ttft_ms=ttft,
                e2e_ms=ttft + sum(gaps),
                tpot_ms=sum(gaps) / len(gaps),
                itl_ms=gaps,
                chunk_ms=gaps,
                prompt_tokens=64,
                cached_tokens=16 * rng.randrange(4),
                completion_tokens=tokens,
                requested_tokens=tokens,
                worker=f"decode-{number % 2}",
            )
        )
    return records


def report(records: list[RequestRecord], slo: Slo | None = None, **changes: Any) -> Report:
    last = max((one.end_ms for one in records), default=1e3)
    facts: dict[str, Any] = {
        "url": "http://127.0.0.1:8000",
        "model": "tiny",
        "concurrency": None,
        "stream": True,
        "duration_s": last / 1e3,
        "client_cpu_s": 0.1,
        "processes": {},
    }
    return make_report(Run(**{**facts, **changes}), records, slo)


def summary(points: list[Point], **changes: Any) -> Summary:
    facts: dict[str, Any] = {
        "created": 1.7e9,
        "mode": "open loop",
        "args": {"rate": 50, "isl": 64},
        "host": {"name": "here", "cpu": "a CPU", "cores": 2},
        "points": points,
    }
    return Summary(**{**facts, **changes})
