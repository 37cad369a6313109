"""One service of a deployment: its process started, watched, ended with all it left behind, and started again."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from dynamo_cli.runtime.control import ServiceState, ServiceStatus
from dynamo_cli.supervisor.exits import PERMANENT, explain
from dynamo_cli.supervisor.health import pending
from dynamo_cli.supervisor.probes import Answer
from dynamo_cli.supervisor.restart import Exit, GiveUp, RestartCounter
from dynamo_cli.supervisor.spawn import Child
from dynamo_cli.topology.process import ProcessSpec

EAGER_S, EAGER_FOR_S, PATIENT_S, STEADY_S = 0.05, 3.0, 0.25, 1.0
"""How often readiness is asked: at first, how long that lasts, while a model loads, and once it is READY."""


class Ground(Protocol):
    """What a service needs of its supervisor."""

    def launch(self, spec: ProcessSpec) -> Child:
        """OSError when the command cannot be started."""

    async def clear_away(self, spec: ProcessSpec, child: Child) -> None:
        """End everything the child left behind and let its pid go."""

    async def probe(self, spec: ProcessSpec, uptime_s: float) -> Answer: ...

    def last_words(self, spec: ProcessSpec) -> str:
        """The last line the current incarnation wrote."""

    async def dependencies_ready(self, spec: ProcessSpec) -> None: ...

    def changed(self, service: Service) -> None:
        """The status of this service is another one now."""


class Service:
    """`run()` until the process is wanted no more; everything known of it is in `status`."""

    def __init__(self, spec: ProcessSpec, ground: Ground, clock: Callable[[], float] = time.monotonic) -> None:
        self.spec = spec
        self.child: Child | None = None
        self._ground = ground
        self._clock = clock
        self._restarts = RestartCounter(spec.restart)
        self._stopping = asyncio.Event()
        self._started_at = self._ready_at = 0.0
        self._verdict = ""
        self._status = pending(spec)

    @property
    def status(self) -> ServiceStatus:
        self._status.uptime_s = round(self._clock() - self._started_at, 3) if self.child else 0.0
        return self._status

    async def run(self) -> None:
        """From the first start to the last end."""
        if self.spec.depends_on:
            self._set("PENDING", f"waits for {', '.join(wanted.name for wanted in self.spec.depends_on)}")
            await self._unless_stopped(self._ground.dependencies_ready(self.spec))
        while not self._stopping.is_set():
            code = await self._live_once()
            if code is None or self._stopping.is_set() or not await self._comes_back(code):
                break
        if self._stopping.is_set():
            self._set("STOPPED", self._status.reason if self._status.state in ("FAILED", "STOPPED") else "")

    def stop(self) -> None:
        """Ask for an ordered end: TERM now, KILL after the service's stop timeout. `run()` returns when it is done."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        if self.child:
            self._set("DRAINING")
            self.child.signal(signal.SIGTERM, group=self.spec.engine == "custom")
            asyncio.get_running_loop().call_later(self.spec.stop_timeout_s, self._kill, self.child)

    def force(self) -> None:
        """End it without patience."""
        self._stopping.set()
        if self.child:
            self.child.signal(signal.SIGKILL)

    async def _live_once(self) -> int | None:
        self._verdict = ""
        try:
            child = self._ground.launch(self.spec)
        except OSError as error:
            self._status.exit_code = 127
            self._set("FAILED", f"cannot start {self.spec.argv[0]}: {error.strerror}")
            return None
        self.child, self._started_at, self._ready_at = child, self._clock(), 0.0
        self._status.pid = child.id.pid
        self._set("STARTING", "starting")
        watching = asyncio.ensure_future(self._watch_readiness(child))
        code = await child.wait()
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        self._note_exit(code)
        await self._ground.clear_away(self.spec, child)
        return code

    def _note_exit(self, code: int) -> None:
        words = self._verdict or explain(code, self._ground.last_words(self.spec))
        self.child, self._status.pid, self._status.ready = None, None, False
        self._status.exit_code, self._status.last_exit = code, words
        if not self._stopping.is_set():
            self._status.state, self._status.reason = "BACKOFF", words

    async def _comes_back(self, code: int) -> bool:
        ready_s = self._clock() - self._ready_at if self._ready_at else 0.0
        permanent = self.spec.engine != "custom" and code in PERMANENT
        decision = self._restarts.decide(Exit(code, ready_s, permanent), self._clock())
        words = self._status.last_exit
        if isinstance(decision, GiveUp):
            self._set("FAILED" if decision.failed else "STOPPED", f"{words}; {decision.reason}")
            return False
        self._status.restarts = self._restarts.total
        self._set("BACKOFF", f"{words}; starts again in {round(decision.delay_s, 2):g} s")
        await self._unless_stopped(asyncio.sleep(decision.delay_s))
        return not self._stopping.is_set()

    async def _watch_readiness(self, child: Child) -> None:
        while True:
            uptime = self._clock() - self._started_at
            answer = await self._ground.probe(self.spec, uptime)
            self._note_answer(answer)
            if not self._ready_at and uptime > self.spec.probe.timeout_s:
                self._verdict = f"not ready within {self.spec.probe.timeout_s:g} s"
                self._kill(child)
                return
            eager = PATIENT_S if uptime > EAGER_FOR_S else EAGER_S
            await asyncio.sleep(STEADY_S if answer.ready else eager)

    def _note_answer(self, answer: Answer) -> None:
        if self._stopping.is_set():
            return
        if answer.ready and not self._ready_at:
            self._ready_at = self._clock()
        reason = answer.reason
        if answer.ready and self._status.restarts:
            reason = f"last exit: {self._status.last_exit}"
        self._set("READY" if answer.ready else "STARTING", reason)

    def _kill(self, child: Child) -> None:
        if self.child is child:
            child.signal(signal.SIGKILL)

    async def _unless_stopped(self, waiting: Coroutine[Any, Any, None]) -> None:
        stopped = asyncio.ensure_future(self._stopping.wait())
        wanted = asyncio.ensure_future(waiting)
        await asyncio.wait({stopped, wanted}, return_when=asyncio.FIRST_COMPLETED)
        for task in (stopped, wanted):
            task.cancel()
        await asyncio.gather(stopped, wanted, return_exceptions=True)

    def _set(self, state: ServiceState, reason: str = "") -> None:
        status = self._status
        if (status.state, status.reason) == (state, reason):
            return
        status.state, status.reason, status.ready = state, reason, state == "READY"
        self._ground.changed(self)
