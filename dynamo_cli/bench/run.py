"""A benchmark run: prompts, warm-up, measured load, report."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from dynamo_cli.bench.cpu import Meter
from dynamo_cli.bench.load import closed_loop
from dynamo_cli.bench.prompts import chat_body, words
from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.bench.report import Report, Run, make_report
from dynamo_cli.bench.sample import Sample
from dynamo_cli.bench.target import Address
from dynamo_cli.runtime.loop import run


@dataclass(frozen=True)
class Workload:
    """`isl` and `osl`: prompt words and most answer tokens of a request. `same`: one prompt for all."""

    requests: int
    concurrency: int = 16
    isl: int = 50
    osl: int = 16
    stream: bool = True
    same: bool = False
    warmup: int = 0
    seed: int = 0
    timeout_s: float = 300.0
    pids: Mapping[str, int] = field(default_factory=dict)


def run_load(address: Address, model: str, workload: Workload) -> Report:
    """Measure one workload against a server. KeyboardInterrupt when SIGINT came first."""
    bodies = _bodies(random.Random(workload.seed), model, workload, workload.requests)
    warmup = _bodies(random.Random(f"warmup {workload.seed}"), model, workload, workload.warmup)
    if workload.same:
        warmup = bodies[:1] * workload.warmup
    report = run(_unless_interrupted(lambda: _measure(address, model, workload, warmup, bodies)))
    if report is None:
        raise KeyboardInterrupt
    return report


async def _unless_interrupted(measure: Callable[[], Coroutine[Any, Any, Report]]) -> Report | None:
    """Before Python 3.11 a KeyboardInterrupt can be lost in a callback of the loop; a signal handler of it is not."""
    task = asyncio.ensure_future(measure())
    if threading.current_thread() is threading.main_thread():
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
    await asyncio.wait([task])
    return None if task.cancelled() else task.result()


async def _measure(address: Address, model: str, work: Workload, warmup: list[bytes], bodies: list[bytes]) -> Report:
    if warmup:
        await closed_loop(address, warmup, concurrency=work.concurrency, timeout_s=work.timeout_s)
    meter = Meter(work.pids)
    meter.start()
    started = time.perf_counter()
    samples = await closed_loop(address, bodies, concurrency=work.concurrency, timeout_s=work.timeout_s)
    duration = time.perf_counter() - started
    processes, own = meter.read()
    facts = Run(
        url=address.url,
        model=model,
        concurrency=work.concurrency,
        stream=work.stream,
        duration_s=duration,
        client_cpu_s=own,
        processes=processes,
    )
    return make_report(facts, [_record(number, sample, work) for number, sample in enumerate(samples)])


def _record(number: int, sample: Sample, work: Workload) -> RequestRecord:
    return RequestRecord(
        id=number,
        due_ms=0.0,
        sent_ms=0.0,
        e2e_ms=sample.e2e_s * 1e3,
        ttft_ms=None if sample.ttft_s is None else sample.ttft_s * 1e3,
        tpot_ms=None if sample.tpot_s is None else sample.tpot_s * 1e3,
        itl_ms=[gap * 1e3 for gap in sample.inter_token_s()],
        prompt_tokens=sample.prompt_tokens,
        cached_tokens=sample.cached_tokens,
        completion_tokens=sample.completion_tokens,
        requested_tokens=work.osl,
        tokens_from="usage" if sample.counted_by_usage else "chunks",
        error=sample.error,
        detail=sample.detail,
    )


def _bodies(rng: random.Random, model: str, work: Workload, count: int) -> list[bytes]:
    if work.same:
        return [chat_body(model, words(rng, work.isl), work.osl, work.stream)] * count
    return [chat_body(model, words(rng, work.isl), work.osl, work.stream) for _ in range(count)]
