"""One load level, measured: warm-up, load, records, and the facts around them."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count
from typing import NamedTuple

from dynamo_cli.bench.cpu import Meter
from dynamo_cli.bench.load.connection import Connections
from dynamo_cli.bench.load.log import Log, Watch
from dynamo_cli.bench.load.loops import Load
from dynamo_cli.bench.progress import Progress
from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.bench.report import Report, Run, make_report
from dynamo_cli.bench.target import Address
from dynamo_cli.bench.work.body import Format
from dynamo_cli.bench.work.conversation import Conversation, no_more_than
from dynamo_cli.bench.work.stock import Stock, Writer
from dynamo_cli.bench.workload import Workload
from dynamo_cli.runtime.descriptors import allow_many_files
from dynamo_cli.runtime.loop import run

PATH = "/v1/chat/completions"


class Level(NamedTuple):
    """`interrupted`: by SIGINT; the records are those of what was answered before."""

    run: Run
    records: list[RequestRecord]
    interrupted: bool = False


def run_load(address: Address, model: str, work: Workload) -> Report:
    """Measure one level. KeyboardInterrupt when SIGINT came first."""
    level = run_level(address, model, work)
    if level.interrupted:
        raise KeyboardInterrupt
    return make_report(level.run, level.records)


def run_level(
    address: Address,
    model: str,
    work: Workload,
    *,
    first: int = 0,
    watch: Watch | None = None,
    progress: Progress | None = None,
) -> Level:
    """Measure one level, whose conversations are numbered from `first` on. `watch` may end it early.

    KeyboardInterrupt when SIGINT came before anything was measured.
    """
    allow_many_files()
    return run(_Measurement(address, model, work, watch, progress).run(first))


class _Measurement:
    def __init__(
        self, address: Address, model: str, work: Workload, watch: Watch | None, progress: Progress | None
    ) -> None:
        self._address = address
        self._model = model
        self._work = work
        self._watch = watch
        self._progress = progress
        self._connections = Connections(address, PATH, work.headers)
        form = Format(model, work.stream, work.ignore_eos, work.ask_worker, work.extra)
        self._writer = Writer(form, self._connections.request, work.cancel_rate, work.shape.seed)
        self._interrupted = asyncio.Event()

    async def run(self, first: int) -> Level:
        if threading.current_thread() is threading.main_thread():
            # Before Python 3.11 a KeyboardInterrupt can be lost in a callback of the loop; a handler of it is not.
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._interrupted.set)
        try:
            await self._warm_up()
            return await self._measure(first)
        finally:
            self._connections.close()

    async def _warm_up(self) -> None:
        work = self._work
        if not work.warmup:
            return
        lanes = work.most_in_flight or Workload.concurrency
        gentle = replace(Workload(work.warmup, lanes, timeout_s=work.timeout_s), shape=replace(work.shape, turns=1))
        stock = self._stock(gentle, (gentle.shape.conversation(-number) for number in count(1)))
        await self._load(gentle, stock, Log())
        if self._interrupted.is_set():
            raise KeyboardInterrupt

    async def _measure(self, first: int) -> Level:
        work = self._work
        stock = self._stock(work, _conversations(work, first))
        await stock.filled()
        meter = Meter(work.pids)
        meter.start()
        log = Log(self._watch)
        if self._progress is not None:
            self._progress.follow(log, work)
        await self._load(work, stock, log)
        duration = log.now_s
        processes, own = meter.read()
        facts = Run(
            url=self._address.url,
            model=self._model,
            concurrency=work.most_in_flight,
            stream=work.stream,
            duration_s=duration,
            client_cpu_s=own,
            processes=processes,
        )
        return Level(facts, sorted(log.records, key=lambda record: record.id), self._interrupted.is_set())

    def _stock(self, work: Workload, conversations: Iterable[Conversation]) -> Stock:
        return Stock(self._writer, no_more_than(work.requests, conversations))

    async def _load(self, work: Workload, stock: Stock, log: Log) -> None:
        """Until it is done, interrupted, or enough is known."""
        load = asyncio.create_task(Load(work, self._connections, self._writer, stock, log).run())
        ends = [asyncio.create_task(event.wait()) for event in (self._interrupted, log.enough)]
        try:
            await asyncio.wait([load, *ends], return_when=asyncio.FIRST_COMPLETED)
            if load.done():
                load.result()
        finally:
            for task in (load, *ends):
                task.cancel()
            await asyncio.gather(load, *ends, return_exceptions=True)
            await stock.close()


def _conversations(work: Workload, first: int) -> Iterator[Conversation]:
    if work.trace is not None:
        return work.trace.conversations()
    return (work.shape.conversation(number) for number in count(first))
