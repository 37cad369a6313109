"""The publishers' processes as one: on or off, and what it took."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from dynamo_cli.bench.cpu import Meter
from dynamo_cli.errors import DynamoError

Start = Callable[..., subprocess.Popen[str]]
MODULE = "dynamo_cli.bench.events.publisher"


class Interval(NamedTuple):
    """`blocks` stored, in `seconds`; CPU seconds of the frontend and of all publishers."""

    seconds: float
    blocks: int
    frontend_cpu_s: float
    publishers_cpu_s: float


class Publishers:
    """They are off at first. `frontend` is the pid of who is measured with them."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]], frontend: int) -> None:
        self._processes = processes
        self._pids = {"frontend": frontend, **{f"{each.pid}": each.pid for each in processes}}
        self._told = [self._answer(each) for each in processes]

    @contextmanager
    def telling(self) -> Iterator[None]:
        """On until the end of the block."""
        self._switch()
        try:
            yield
        finally:
            self._switch()

    def measure(self, seconds: float, *, telling: bool) -> Interval:
        with ExitStack() as stack:
            if telling:
                stack.enter_context(self.telling())
            before, meter, started = sum(self._told), Meter(self._pids), time.monotonic()
            meter.start()
            time.sleep(seconds)
            used, _ = meter.read()
            passed = time.monotonic() - started
        frontend = used.pop("frontend").cpu_s
        return Interval(passed, sum(self._told) - before, frontend, sum(each.cpu_s for each in used.values()))

    def _switch(self) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        self._told = [self._answer(each) for each in self._processes]

    @staticmethod
    def _answer(process: subprocess.Popen[str]) -> int:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise DynamoError(f"a publisher has ended with {process.wait()}")
        return int(line)


@contextmanager
def publishers(start: Start, frontend: int, number: int, rate: float) -> Iterator[Publishers]:
    """`number` of them, which tell of `rate` blocks a second together. `start` runs a module of this package."""
    with ExitStack() as stack:
        started = [
            stack.enter_context(start(MODULE, "--rate", f"{rate / number}", "--seed", f"{seed}"))
            for seed in range(1, number + 1)
        ]
        for process in started:
            assert process.stdin is not None
            stack.callback(process.stdin.close)
        yield Publishers(started, frontend)
