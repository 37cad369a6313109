"""A long time under load with a random fault every few seconds: what was lost, and what has grown."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from dynamo_cli.bench.budgets.result import machine
from dynamo_cli.bench.budgets.rig import Rig
from dynamo_cli.bench.chaos.asks import mixed_asks
from dynamo_cli.bench.chaos.deployment import WORKERS, Deployment, deployed
from dynamo_cli.bench.chaos.growth import Growth, growths
from dynamo_cli.bench.chaos.measure import recovered
from dynamo_cli.bench.chaos.outcome import Seen, seen
from dynamo_cli.bench.chaos.sampler import Sampler
from dynamo_cli.bench.chaos.traffic import Traffic
from dynamo_cli.bench.target import parse_url
from dynamo_cli.runtime.control import ServiceStatus

Fault = Callable[[], Awaitable[str]]
"""Does it and says what was done."""

STOP_S = 4.0
SPARED = 0
"""The replica of workers and frontends that is never killed: it sees all the others die, and must not grow by it."""
EARLY = 2
"""The first so many faults are done in the first half only: supervisor and log keeper shall live on and not grow."""
KILLS, WINDOW_S = 4, 60.0
"""A service that is killed more often within that time is given up by the supervisor, as it should be."""
WARM_UP_S = 180.0
REMEMBERED = 200
"""Requests that a frontend keeps for `dynamo explain`: its memory is full before the warm-up is over."""


class SoakResult(msgspec.Struct, kw_only=True):
    """`faults`: how often each was done. `recovered`: whether everything was READY again after the last one."""

    minutes: float
    every_s: float
    seed: int
    faults: dict[str, int]
    seen: Seen
    growth: list[Growth]
    recovered: bool
    left_behind: list[str] = []

    @property
    def met(self) -> bool:
        """Nothing was lost but what a killed frontend took along, nothing has grown, nothing is left."""
        lost = self.seen.lost or self.seen.differ or self.left_behind
        return not lost and self.recovered and all(each.met for each in self.growth)


def soak(minutes: float, every_s: float, streams: int, seed: int, say: Callable[[str], None]) -> SoakResult:
    """DynamoError when the deployment does not start."""
    with tempfile.TemporaryDirectory(prefix="dyn-", ignore_cleanup_errors=True) as home:
        rig = Rig(Path(home), {"DYN_EXPLAIN_REQUESTS": str(REMEMBERED)})
        with deployed(rig) as target:
            result = asyncio.run(_Soak(target, seed, say).run(minutes, every_s, streams))
            rig.dynamo("down", "--all")
            result.left_behind = target.left_behind()
            return result


class _Soak:
    def __init__(self, target: Deployment, seed: int, say: Callable[[str], None]) -> None:
        self._target = target
        self._seed = seed
        self._random = random.Random(f"soak {seed}")
        self._say = say
        self._done: Counter[str] = Counter()
        self._killed: dict[str, list[float]] = {}
        self._faults: list[Fault] = [
            self._kill_the_keeper,
            self._kill_the_supervisor,
            self._kill_a_worker,
            self._kill_most_workers,
            self._kill_a_frontend,
            self._stop_a_worker,
            self._restart_a_worker,
            self._scale,
        ]

    async def run(self, minutes: float, every_s: float, streams: int) -> SoakResult:
        traffic = Traffic(parse_url(self._target.url), mixed_asks(self._target.model, streams))
        sampler = Sampler(self._target)
        sampling = asyncio.create_task(sampler.run())
        try:
            await traffic.learn()
            traffic.begin()
            await self._torment(60 * minutes, every_s)
            well = await recovered(self._target, traffic, set()) is not None
            await traffic.end()
        finally:
            sampling.cancel()
            traffic.close()
        return SoakResult(
            minutes=minutes,
            every_s=every_s,
            seed=self._seed,
            faults=dict(self._done),
            seen=seen(traffic.outcomes, self._target.frontend_kills),
            growth=growths(sampler.points, min(WARM_UP_S, 20 * minutes)),
            recovered=well,
        )

    async def _torment(self, seconds: float, every_s: float) -> None:
        """The faults come in an order of chance, but each as often as the others."""
        bag: list[Fault] = []
        began = time.perf_counter()
        for number in range(1, math.ceil(seconds / every_s)):
            await asyncio.sleep(max(0.0, began + number * every_s - time.perf_counter()))
            faults = self._faults if number * every_s < seconds / 2 else self._faults[EARLY:]
            bag = bag or self._random.sample(faults, len(faults))
            what = await bag.pop()()
            self._say(f"{time.perf_counter() - began:7.1f} s: {what}")
        await asyncio.sleep(max(0.0, began + seconds - time.perf_counter()))

    async def _kill_a_worker(self) -> str:
        return self._kill("worker killed", self._killable("worker")[:1])

    async def _kill_most_workers(self) -> str:
        return self._kill("all workers but one killed", self._killable("worker"))

    async def _kill_a_frontend(self) -> str:
        return self._kill("frontend killed", self._killable("frontend")[:1])

    async def _stop_a_worker(self) -> str:
        worker = self._random.choice(self._target.services("worker"))
        os.kill(worker.pid or 0, signal.SIGSTOP)
        await asyncio.sleep(STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid or 0, signal.SIGCONT)
        return self._did("worker stopped and continued", [worker])

    async def _kill_the_keeper(self) -> str:
        os.kill(self._target.keeper_pid(), signal.SIGKILL)
        return self._did("log keeper killed", [])

    async def _kill_the_supervisor(self) -> str:
        self._target.kill_supervisor()
        await asyncio.sleep(STOP_S)
        await asyncio.to_thread(self._target.take_over)
        return self._did("supervisor killed, another one took over", [])

    async def _restart_a_worker(self) -> str:
        worker = self._random.choice(self._killable("worker"))
        await asyncio.to_thread(self._target.rig.dynamo, "restart", worker.name)
        return self._did("worker restarted by hand", [worker])

    async def _scale(self) -> str:
        for replicas in (WORKERS - 1, WORKERS):
            await asyncio.to_thread(self._target.rig.dynamo, "scale", f"decode={replicas}")
        return self._did("scaled down and up", [])

    def _killable(self, kind: str) -> list[ServiceStatus]:
        """In an order of chance."""
        now = time.perf_counter()
        found = [one for one in self._target.services(kind) if one.replica != SPARED]
        recent = {one.name: [at for at in self._killed.get(one.name, []) if at > now - WINDOW_S] for one in found}
        return self._random.sample(calm := [one for one in found if len(recent[one.name]) < KILLS], len(calm))

    def _kill(self, what: str, services: Sequence[ServiceStatus]) -> str:
        self._target.kill(services)
        for service in services:
            self._killed.setdefault(service.name, []).append(time.perf_counter())
        return self._did(what, services)

    def _did(self, what: str, services: Sequence[ServiceStatus]) -> str:
        self._done[what] += 1
        return f"{what}: {' '.join(service.name for service in services)}".removesuffix(": ")


def soak_json(result: SoakResult) -> str:
    facts = msgspec.to_builtins(result) | {"machine": machine(), "met": result.met}
    return msgspec.json.encode(facts).decode() + "\n"


def soak_table(result: SoakResult) -> str:
    """In Markdown."""
    view = result.seen
    faults = ", ".join(f"{count} x {what}" for what, count in sorted(result.faults.items()))
    lines = [
        f"{machine()}; {result.minutes:g} minutes, a fault every {result.every_s:g} s (seed {result.seed}): {faults}",
        "",
        f"{view.requests} requests: {view.failed} failed and {view.cut} cut, {view.with_frontend} of them with a "
        f"killed frontend, {view.lost} lost beyond; {view.differ} other texts; longest gap {view.longest_gap_s:.2f} s; "
        f"everything READY at the end: {'yes' if result.recovered else 'no'}; {len(result.left_behind)} left behind",
        *(f"{count} x {words}" for words, count in view.errors.items()),
        "",
        "| of | what | at first | at last | most | a minute | in the longest life | limit a minute |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *map(_growth_line, result.growth),
    ]
    return "\n".join(lines) + "\n"


def _growth_line(each: Growth) -> str:
    slope = "" if each.per_minute is None else f"{each.per_minute:+.3f}{'' if each.met else ' NOT MET'}"
    levels = " | ".join(f"{level:.4g}" for level in (each.first, each.last, each.most))
    return f"| {each.who} | {each.what} | {levels} | {slope} | {each.rise:+.2f} | {each.limit:g} |"
