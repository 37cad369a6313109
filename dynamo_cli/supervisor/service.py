"""One service of a deployment: its process started, watched, ended with all it left behind, and started again."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from dynamo_cli.runtime.control import ServiceState, ServiceStatus
from dynamo_cli.supervisor.crashes.crash import Crash
from dynamo_cli.supervisor.dependencies import Wait
from dynamo_cli.supervisor.exits import PERMANENT, UNKNOWN, Ending
from dynamo_cli.supervisor.health import OVER, described, pending
from dynamo_cli.supervisor.outside_probes import Answer
from dynamo_cli.supervisor.phases.tracker import Stage
from dynamo_cli.supervisor.record import Past
from dynamo_cli.supervisor.restart import Exit, GiveUp, RestartCounter
from dynamo_cli.supervisor.spawn import Child
from dynamo_cli.supervisor.words import gibibytes
from dynamo_cli.topology.process import ProcessSpec

EAGER_S, EAGER_FOR_S, PATIENT_S, STEADY_S = 0.05, 3.0, 0.25, 1.0
"""How often readiness is asked: at first, how long that lasts, while a model loads, and once it is READY."""
STEADY_SERVICE_S = 5.0
"""The last for processes that are not ours: many write a line for each question."""
MEMORY_S = 1.0
"""How often the memory of a process that has a limit is measured."""
MEMORY_LOOKS = 30
"""The last so many are evidence."""
DEPENDENCIES_S = 0.05
RETIRE_S = 60.0
"""How long a frontend that was replaced may go on with the answers it has begun."""
BY_HAND = "stopped by hand"


class Ground(Protocol):
    """What a service needs of its supervisor."""

    def launch(self, spec: ProcessSpec) -> Child:
        """OSError when the command cannot be started."""

    async def clear_away(self, spec: ProcessSpec, child: Child) -> None:
        """End everything the child left behind and let its pid go."""

    async def gpus_freed(self, spec: ProcessSpec, say: Callable[[str], None]) -> None:
        """Wait for the GPU memory of its last process; `say` is told what takes long, "" when it is over."""

    async def probe(self, spec: ProcessSpec, uptime_s: float) -> Answer: ...

    async def alive(self, spec: ProcessSpec) -> bool:
        """Whether it answers its liveness probe."""

    def memory(self, child: Child) -> int:
        """Bytes the child and its descendants hold."""

    def stage(self, spec: ProcessSpec, said: str) -> Stage:
        """How far the start of the current incarnation is; `said`: the phase it tells itself."""

    def started(self, spec: ProcessSpec) -> None:
        """Its start is over: nobody asks for the stage of this incarnation any more."""

    async def explain(self, spec: ProcessSpec, code: int, verdict: str) -> Ending:
        """How the current incarnation ended; `verdict`: why we ended it, if we did."""

    def collect(self, service: Service, crash: Crash) -> None:
        """Keep evidence of a failure, without waiting for it."""

    def waits_for(self, spec: ProcessSpec) -> Wait:
        """What it still has to wait for before it may start."""

    def changed(self, service: Service) -> None:
        """The status of this service is another one now."""


class Service:
    """`run()` until `close()`; everything known of it is in `status`.

    A life is the series of its incarnations from a start to the point where it is not started again: it ended as it
    may, it gave up, or somebody stopped it. `start()` begins another life.
    """

    def __init__(
        self, spec: ProcessSpec, ground: Ground, clock: Callable[[], float] = time.monotonic, replaces: str = ""
    ) -> None:
        self.spec = spec
        self.child: Child | None = None
        self.lives = 0
        self._ground = ground
        self._clock = clock
        self._restarts = RestartCounter(spec.restart)
        self._ending = asyncio.Event()
        self._recalled = asyncio.Event()
        self._closed = False
        self._retiring = False
        self._next: ProcessSpec | None = None
        self._started_at = self._ready_at = self._ready_since = 0.0
        self._inherited: Child | None = None
        self._told_to_rest = False
        self._verdict = self._exit_words = ""
        self._held: deque[int] = deque(maxlen=MEMORY_LOOKS)
        self._status = pending(spec)
        self._status.replaces = replaces
        self._status.since = time.time()

    @property
    def status(self) -> ServiceStatus:
        self._status.uptime_s = round(self._clock() - self._started_at, 3) if self.child else 0.0
        return self._status

    @property
    def past(self) -> Past:
        """What the next supervisor must know of it, should this one die."""
        status, told_to_rest = self._status, self._ending.is_set() and not self._recalled.is_set()
        past = Past(
            restarts=status.restarts,
            last_exit=status.last_exit,
            exit_code=status.exit_code,
            by_hand=status.by_hand,
            done=status.done,
            ready=self._ready_since,
        )
        if status.state == "FAILED" or status.state == "STOPPED" or (status.state == "DRAINING" and told_to_rest):
            past.state, past.reason = status.state, status.reason
        return past

    def resume(self, past: Past, child: Child | None, age_s: float) -> None:
        """Before `run()`: go on where a dead supervisor left it. `child`, `age_s` old, may have ended since."""
        status = self._status
        status.restarts, status.last_exit, status.exit_code = past.restarts, past.last_exit, past.exit_code
        self._restarts.total = past.restarts
        if child is None:
            status.by_hand, status.done = past.by_hand, past.done
            status.state, status.reason = past.state or "PENDING", past.reason
            return
        self._inherited, self._told_to_rest = child, past.state == "DRAINING"
        self._started_at, self._ready_since = self._clock() - age_s, past.ready

    async def run(self) -> None:
        """One life after another."""
        at_rest = self._status.state in OVER
        while not self._closed:
            if not at_rest:
                await self._live()
            at_rest = False
            if not self._closed:
                await self._recalled.wait()
                self._begin_anew()

    def start(self) -> None:
        """Begin another life if it is at rest, or as soon as the one that is ending has ended."""
        if self._ending.is_set() or self._status.state in ("FAILED", "STOPPED"):
            self._recalled.set()

    def stop(self) -> None:
        """Ask for the end of this life: TERM now, KILL after the service's stop timeout. Policy does not revive it."""
        self._recalled.clear()
        if self._ending.is_set():
            return
        self._ending.set()
        if self.child:
            self._set("DRAINING", "" if self._closed else BY_HAND)
            self.child.signal(signal.SIGTERM, group=self.spec.foreign)
            asyncio.get_running_loop().call_later(self.spec.stop_timeout_s, self._kill, self.child)
        elif not self._closed and self._status.state in ("FAILED", "STOPPED"):
            self._rest("STOPPED", BY_HAND, by_hand=True)

    def restart(self, spec: ProcessSpec | None = None) -> None:
        """End this life in order and begin another, with `spec` if one is given."""
        self._next = spec
        self.stop()
        self._recalled.set()

    def adopt(self, spec: ProcessSpec) -> None:
        """Go by another spec of the same process from now on."""
        self.spec = spec
        self._restarts.policy = spec.restart

    def took_over(self) -> None:
        """It stands in nobody's shadow any more."""
        self._status.replaces = ""

    def close(self) -> None:
        """End this life in order; no other one follows, and `run()` returns."""
        if self._retiring and self.child:
            self._hurry(self.child)
        self._closed = self._status.leaving = True
        self.stop()
        self._recalled.set()

    def retire(self) -> None:
        """The same when others stand in for it. What a frontend has begun no other one can go on with: it gets time."""
        if self.spec.kind != "frontend" or self._ending.is_set() or not self.child:
            self.close()
            return
        self._closed = self._retiring = self._status.leaving = True
        self._recalled.set()
        self._ending.set()
        self._set("DRAINING", "others have taken over")
        self.child.signal(signal.SIGUSR1)
        asyncio.get_running_loop().call_later(RETIRE_S, self._hurry, self.child)

    def force(self) -> None:
        """The same without patience."""
        self._closed = True
        self._ending.set()
        self._recalled.set()
        if self.child:
            self.child.signal(signal.SIGKILL)

    def keep_evidence(self, directory: str) -> None:
        """There is a directory that tells of its last failure."""
        self._status.evidence = directory

    def _begin_anew(self) -> None:
        self._recalled.clear()
        self._ending.clear()
        if self._next:
            self.spec, self._next = self._next, None
            for name, value in described(self.spec).items():
                setattr(self._status, name, value)
        if not self._closed:
            self._restarts = RestartCounter(self.spec.restart)
            self._status.restarts, self._status.by_hand, self._status.done = 0, False, False
            self._set("PENDING", "started by hand")

    async def _live(self) -> None:
        self.lives += 1
        if self._inherited is None:
            await self._unless_ending(self._dependencies_met())
        while not self._ending.is_set():
            code = await self._live_once()
            if code is None or self._ending.is_set() or not await self._comes_back(code):
                break
        if self._closed:
            self._rest("STOPPED", self._status.reason if self._status.state in ("FAILED", "STOPPED") else "")
        elif self._ending.is_set():
            self._rest("STOPPED", BY_HAND, by_hand=True)

    async def _dependencies_met(self) -> None:
        while wait := self._ground.waits_for(self.spec):
            self._set("FAILED" if wait.hopeless else "PENDING", wait.words)
            await asyncio.sleep(DEPENDENCIES_S)

    async def _live_once(self) -> int | None:
        self._verdict = ""
        words = "taken over" if self._inherited else "starting"
        child = self._take_over() or self._launch()
        if child is None:
            return None
        self.child, self._status.pid, self._status.phases = child, child.id.pid, {}
        self._held.clear()
        self._set("STARTING", words)
        if self._told_to_rest:
            self._told_to_rest = False
            self.stop()
        watching = [asyncio.ensure_future(watch) for watch in self._watches(child)]
        code = await child.wait()
        for watch in watching:
            watch.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        ending = await self._ground.explain(self.spec, code, self._verdict)
        if not self._ending.is_set() and code not in self.spec.restart.success_codes:
            self._ground.collect(self, self._crash(code, ending))
        self._note_exit(code, ending)
        await self._ground.clear_away(self.spec, child)
        await self._ground.gpus_freed(self.spec, self._say)
        return code

    def _take_over(self) -> Child | None:
        child, self._inherited = self._inherited, None
        if child and self._ready_since:
            self._ready_at = min(self._clock(), max(self._started_at, self._clock() - time.time() + self._ready_since))
        return child

    def _launch(self) -> Child | None:
        self._started_at, self._ready_at, self._ready_since = self._clock(), 0.0, 0.0
        try:
            return self._ground.launch(self.spec)
        except OSError as error:
            self._status.exit_code = 127
            self._set("FAILED", f"cannot start {self.spec.argv[0]}: {error.strerror}")
            return None

    def _say(self, words: str) -> None:
        """Beside how its last process ended; "" takes it back."""
        self._status.last_exit = f"{self._exit_words}; {words}" if words else self._exit_words
        self._set(self._status.state, self._status.last_exit)

    def _note_exit(self, code: int, ending: Ending) -> None:
        status = self._status
        self.child, status.pid, status.ready = None, None, False
        status.exit_code = None if code == UNKNOWN else code
        status.last_exit, status.memory = ending.words, 0
        status.hint, status.phase, status.phase_s, status.progress = ending.hint, "", 0.0, None
        self._exit_words = ending.words
        self._ground.started(self.spec)
        if not self._ending.is_set():
            status.state, status.reason = "BACKOFF", ending.reason

    def _crash(self, code: int, ending: Ending) -> Crash:
        status, now = self.status, self._clock()
        return Crash(
            spec=self.spec,
            time=time.time(),
            code=code,
            words=ending.words,
            hint=ending.hint,
            phase=status.phase,
            progress=status.progress,
            phases=status.phases,
            uptime_s=status.uptime_s,
            ready_s=round(now - self._ready_at, 3) if self._ready_at else 0.0,
            restarts=status.restarts,
            memory=tuple(self._held),
            lines=ending.lines,
        )

    async def _comes_back(self, code: int) -> bool:
        ready_s = self._clock() - self._ready_at if self._ready_at else 0.0
        permanent = not self.spec.foreign and code in PERMANENT
        decision = self._restarts.decide(Exit(code, ready_s, permanent), self._clock())
        words = self._status.reason
        if isinstance(decision, GiveUp):
            self._rest("FAILED" if decision.failed else "STOPPED", f"{words}; {decision.reason}")
            return False
        self._status.restarts = self._restarts.total
        self._set("BACKOFF", f"{words}; starts again in {round(decision.delay_s, 2):g} s")
        await self._unless_ending(asyncio.sleep(decision.delay_s))
        return not self._ending.is_set()

    def _watches(self, child: Child) -> list[Coroutine[Any, Any, None]]:
        watches = [self._watch_readiness(child)]
        if self.spec.liveness:
            watches.append(self._watch_liveness(child))
        if self.spec.restart.memory_limit:
            watches.append(self._watch_memory(child))
        return watches

    async def _watch_readiness(self, child: Child) -> None:
        steady = STEADY_SERVICE_S if self.spec.kind == "service" else STEADY_S
        while True:
            uptime = self._clock() - self._started_at
            answer = await self._ground.probe(self.spec, uptime)
            self._note_answer(answer)
            if not self._ready_at and uptime > self.spec.probe.timeout_s:
                return self._condemn(child, f"not ready within {self.spec.probe.timeout_s:g} s")
            eager = PATIENT_S if uptime > EAGER_FOR_S else EAGER_S
            await asyncio.sleep(steady if answer.ready else eager)

    async def _watch_liveness(self, child: Child) -> None:
        liveness = self.spec.liveness
        assert liveness
        missed, asked_at = 0, self._clock()
        while missed < liveness.failures:
            await asyncio.sleep(max(0.0, asked_at + liveness.interval_s - self._clock()))
            asked_at = self._clock()
            if self._ready_at:
                missed = 0 if await self._ground.alive(self.spec) else missed + 1
        self._condemn(child, f"no answer to {missed} liveness probes")

    async def _watch_memory(self, child: Child) -> None:
        limit = self.spec.restart.memory_limit
        while True:
            held = self._status.memory = self._ground.memory(child)
            self._held.append(held)
            if held > limit:
                return self._condemn(child, f"held {gibibytes(held)} of memory, its limit is {gibibytes(limit)}")
            await asyncio.sleep(MEMORY_S)

    def _note_answer(self, answer: Answer) -> None:
        if self._ending.is_set():
            return
        if not self._ready_at:
            self._note_stage(answer)
        if answer.ready and not self._ready_at:
            self._ready_at, self._ready_since = self._clock(), time.time()
            self._ground.started(self.spec)
        if answer.ready:
            self._set("READY", f"last exit: {self._status.last_exit}" if self._status.restarts else answer.reason)
        elif self._ready_at:
            self._set("DEGRADED", answer.reason)

    def _note_stage(self, answer: Answer) -> None:
        """How far its start is. Not every step of a progress bar is an event."""
        stage, status = self._ground.stage(self.spec, answer.phase), self._status
        status.phases = dict(stage.spent)
        status.phase, status.phase_s, status.progress = stage.phase, stage.seconds, stage.progress
        if answer.ready:
            status.phase, status.phase_s, status.progress = "", 0.0, None
            return
        told_itself = not stage.phase or (stage.phase == answer.phase and not stage.progress)
        state: ServiceState = "LOADING" if answer.loading or stage.phase else "STARTING"
        reason = answer.reason if told_itself else stage.words
        if state == status.state and not told_itself and not stage.news:
            status.reason = reason
        else:
            self._set(state, reason)

    def _condemn(self, child: Child, verdict: str) -> None:
        self._verdict = verdict
        self._kill(child)

    def _hurry(self, child: Child) -> None:
        if self.child is child:
            self._retiring = False
            child.signal(signal.SIGTERM)
            asyncio.get_running_loop().call_later(self.spec.stop_timeout_s, self._kill, child)

    def _kill(self, child: Child) -> None:
        if self.child is child:
            child.signal(signal.SIGKILL)

    async def _unless_ending(self, waiting: Coroutine[Any, Any, None]) -> None:
        ending = asyncio.ensure_future(self._ending.wait())
        wanted = asyncio.ensure_future(waiting)
        try:
            await asyncio.wait({ending, wanted}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ending, wanted):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(ending, wanted, return_exceptions=True)

    def _rest(self, state: ServiceState, reason: str, *, by_hand: bool = False) -> None:
        self._status.by_hand, self._status.done = by_hand, state == "STOPPED" and not by_hand and not self._closed
        self._set(state, reason)

    def _set(self, state: ServiceState, reason: str = "") -> None:
        status = self._status
        if (status.state, status.reason) == (state, reason):
            return
        if status.state != state:
            status.since = time.time()
        status.state, status.reason, status.ready = state, reason, state == "READY"
        self._ground.changed(self)
