"""The conductor of one deployment: starts its services, judges its state, and ends it in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping

import msgspec

from dynamo_cli.errors import ResourceMissing, UsageError
from dynamo_cli.protocol.detail import ServiceDetail
from dynamo_cli.protocol.routing_view import RoutingStatus
from dynamo_cli.runtime.control import (
    DeploymentState,
    DeploymentStatus,
    RememberedRequests,
    ServiceAction,
    ServiceStatus,
)
from dynamo_cli.runtime.discovery.file import FileDiscovery
from dynamo_cli.runtime.paths import dynamo_home
from dynamo_cli.supervisor import adopting, health, spawn
from dynamo_cli.supervisor.access import access_of
from dynamo_cli.supervisor.actions import Crew
from dynamo_cli.supervisor.adoption import Adoption
from dynamo_cli.supervisor.answering import Answering
from dynamo_cli.supervisor.assignment import Assignment
from dynamo_cli.supervisor.control_server import ControlServer
from dynamo_cli.supervisor.crashes.collect import Collector
from dynamo_cli.supervisor.crashes.crash import Crash
from dynamo_cli.supervisor.dependencies import Wait, unmet
from dynamo_cli.supervisor.detail import detail_of
from dynamo_cli.supervisor.events import EventBus
from dynamo_cli.supervisor.exits import CLEAR, Ending, ending, exit_class
from dynamo_cli.supervisor.gpu_memory import GpuMemory
from dynamo_cli.supervisor.hints.rule import Failed
from dynamo_cli.supervisor.launcher import Launcher
from dynamo_cli.supervisor.lookout import Lookout
from dynamo_cli.supervisor.measuring.sampler import Sampler
from dynamo_cli.supervisor.memory import available_memory, tree_memory
from dynamo_cli.supervisor.oom import OomKills, oom_kills, oom_words
from dynamo_cli.supervisor.output import Output
from dynamo_cli.supervisor.outside_probes import Answer
from dynamo_cli.supervisor.phases.tables import family
from dynamo_cli.supervisor.phases.tracker import Stage
from dynamo_cli.supervisor.phases.watch import Loads
from dynamo_cli.supervisor.probe_history import ProbeHistory
from dynamo_cli.supervisor.probes import Prober
from dynamo_cli.supervisor.processes import ProcessId
from dynamo_cli.supervisor.record import read_wanted, write
from dynamo_cli.supervisor.room import no_room
from dynamo_cli.supervisor.service import Service
from dynamo_cli.supervisor.spawn import Child
from dynamo_cli.supervisor.sweep import end_adopted, marks, reap_adopted, sweep
from dynamo_cli.topology.ports import free_ports
from dynamo_cli.topology.process import Plan, ProcessSpec
from dynamo_cli.topology.twins import place_of

logger = logging.getLogger("dynamo.supervisor")

KNOWN_S, FOREIGN_KNOWN_S = 30.0, 3.0
"""How long frontends may take to know a new worker before the one it replaces ends; not all that are foreign serve."""
LAST_LINES = 200
"""Of a process that ended: what a hint is looked for in, and evidence."""


class Supervisor:
    """Also the ground its services stand on (see service.Ground)."""

    def __init__(self, assignment: Assignment, clock: Callable[[], float] = time.monotonic) -> None:
        self.paths = assignment.paths
        self.bus = EventBus()
        self.exit_code = 0
        self.failure = ""
        self._listener = assignment.listener
        self._record = assignment.record
        self._tether = assignment.tether
        self._clock = clock
        self._began = clock()
        self._launcher = Launcher(
            self.paths,
            self._record.deployment_id,
            home=dynamo_home(),
            listen_fd=self._listener.fileno() if self._listener else None,
            guarded=not self._record.detached,
            dies_with_us=not (self._record.detached or self._tether),
            outputs=adopting.outputs(assignment.adoption) if assignment.adoption else None,
        )
        self._discovery = FileDiscovery(self.paths.discovery)
        self._output = Output(self.paths)
        self._loads = Loads(self.paths)
        self._crashes = Collector(self.paths)
        self._prober = Prober(self.paths, self._discovery, self._output.wrote)
        self._probed = ProbeHistory()
        self._lookout = Lookout(self.paths, self._statuses)
        self._sampler = Sampler(self.paths, lambda: self._services, clock)
        self._gpu_memory = GpuMemory(self._record.deployment_id, impatient=lambda: self._force)
        self._oom_kills: dict[str, OomKills] = {}
        self._was_ready = False
        self._unsaved = False
        self._first_failed = ""
        self._changed = asyncio.Event()
        self._answering = Answering(self._prober, lambda: self.plan.models, self._statuses, self._changed.set)
        self._stopping = asyncio.Event()
        self._force = False
        self._crew = Crew(
            assignment.plan,
            self.bus,
            make=lambda spec, replaces: Service(spec, self, clock, replaces),
            save=lambda plan: write(self.paths.plan, plan),
            changed=self._crew_changed,
            free_ports=free_ports(),
            no_room=self._no_room,
            known=self._known,
        )
        self._strays: tuple[ProcessId, ...] = ()
        if assignment.adoption:
            self._adopt(assignment.adoption)

    def _adopt(self, adoption: Adoption) -> None:
        self._strays, self._was_ready = adoption.strays, adoption.was_ready
        self._began = self._clock() - max(0.0, time.time() - self._record.started)
        self._answering.models = set(self.plan.models) if adoption.was_ready else set()
        for name, resumed in adoption.services.items():
            adopting.resume(self._services[name], resumed)
            if resumed.process and resumed.past.ready:
                self._output.resumes(name, self._services[name].spec.probe.pattern)

    async def _end_strays(self) -> None:
        patience = max((spec.stop_timeout_s for spec in self.plan.processes), default=0.0)
        await adopting.end_strays(self._strays, patience)
        self._strays = ()

    @property
    def plan(self) -> Plan:
        return self._crew.plan

    @property
    def _services(self) -> Mapping[str, Service]:
        return self._crew.services

    @property
    def status(self) -> DeploymentStatus:
        status = DeploymentStatus(
            deployment=self.plan.deployment,
            state=self._record.state,
            reason=self._record.reason,
            url=self._record.url,
            models=list(self.plan.models),
            kinds=self._prober.kinds,
            access=access_of(self.plan, os.environ),
            supervisor_pid=os.getpid(),
            detached=self._record.detached,
            uptime_s=round(self._clock() - self._began, 3),
            topology=self.plan.source,
            first_failed=self._first_failed,
            services=self._statuses(),
            notes=self._lookout.notes,
            changes=self._crew.changes.latest,
        )
        self._sampler.fill(status)
        return status

    async def fresh(self) -> None:
        """Somebody looks: return when the numbers of the status are not old, or in a moment."""
        await self._sampler.fresh()

    def detail(self, name: str) -> ServiceDetail:
        """How a service is started, and what its probes found. UsageError for one that is not there."""
        if name not in self._services:
            raise UsageError(f"{self.plan.deployment} has no service {name}")
        return detail_of(self._services[name].spec, self._launcher, self.paths, self._probed.of(name))

    async def routing(self) -> RoutingStatus:
        """What the frontends know of the workers."""
        return await self._lookout.routing()

    async def requests(self, path: str) -> RememberedRequests:
        """How requests went, as the frontends remember them."""
        return await self._lookout.requests(path)

    def stop(self, force: bool = False, exit_code: int = 0) -> None:
        """Ask for the end; `run()` returns when all is gone. The second time, or with `force`, without patience."""
        if self._stopping.is_set():
            force = True
        else:
            self.exit_code = exit_code
            self._stopping.set()
        self._force = self._force or force
        if force:
            for service in self._services.values():
                service.force()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set() or self._record.state == "STOPPING"

    def detach(self) -> None:
        """Go on without the `up` that shows it. UsageError when it cannot, ResourceMissing when no disk takes it."""
        self._refuse_while_stopping()
        if self._record.detached:
            return
        if self._tether is None:
            raise UsageError(
                f"{self.plan.deployment} runs within its `dynamo up`; start it with -d to leave it running"
            )
        detached = msgspec.structs.replace(self._record, detached=True)
        write(self.paths.state, detached)
        self._record = detached
        self._launcher.unguard()
        self._tether.let_go()
        logger.info("detached: goes on without the `up` that started it")

    def act(self, action: ServiceAction, names: list[str], rolling: bool = False, surge: int = 1) -> int:
        """Start, stop or restart services or pools; returns at once, with the id of the change when it is `rolling`.

        UsageError for a name that is not there.
        """
        self._refuse_while_stopping()
        logger.info("%s by hand: %s", action, ", ".join(names))
        return self._crew.act(action, names, rolling, surge)

    def apply(self, plan: bytes, base: str, surge: int = 1) -> int:
        """Change over to another plan; returns at once, with the id of the change. UsageError for what cannot be."""
        self._refuse_while_stopping()
        change = self._crew.apply(read_wanted(plan), base, surge)
        self._record.topology = self.plan.source
        self._save()
        return change

    def scale(self, replicas: dict[str, int]) -> None:
        """Change the number of replicas of pools; returns at once. UsageError for what cannot be."""
        self._refuse_while_stopping()
        logger.info("scale by hand: %s", ", ".join(f"{pool}={count}" for pool, count in replicas.items()))
        self._crew.scale(replicas)

    async def run(self) -> None:
        """The whole life of the deployment, until stop() or until nothing can serve any more (foreground only)."""
        self._prepare()
        control = ControlServer(self.paths.control_socket, self, self.bus)
        self._crew.begin()
        asking = asyncio.gather(self._answering.run(), self._lookout.run(), self._sampler.run(), self._end_strays())
        try:
            await asyncio.sleep(0)  # the children start before we import a web server
            await control.start()
            await self._judge_until_stopped()
            await self._stop_in_order()
        finally:
            asking.cancel()
            await self._crew.close()
            for service in self._services.values():
                service.force()
            await asyncio.gather(asking, *self._crew.running.values(), return_exceptions=True)
            await self._sampler.close()
            await self._end_everything()
            await self._crashes.close()
            self._publish("STOPPED", self.failure)
            self.bus.close()
            await control.close()
            await self._discovery.close()
            self.paths.tidy(all_ended=True)

    def launch(self, spec: ProcessSpec) -> Child:
        with contextlib.suppress(FileNotFoundError):
            self.paths.admin_socket(spec.name).unlink()
        self._loads.begins(spec, self._output.begins(spec.name))
        self._oom_kills[spec.name] = oom_kills()
        child = self._launcher.start(spec)
        self._record.processes[spec.name] = child.id
        self._save()
        return child

    async def clear_away(self, spec: ProcessSpec, child: Child) -> None:
        await sweep([child.id], marks(self._record.deployment_id, spec.name))
        self._launcher.ended(spec, child)
        child.reap()
        self._reap_adopted()

    async def gpus_freed(self, spec: ProcessSpec, say: Callable[[str], None]) -> None:
        await self._gpu_memory.freed(spec, say)

    async def probe(self, spec: ProcessSpec, uptime_s: float) -> Answer:
        return await self._probed.note(spec.name, spec.probe.kind, self._prober.ready(spec, uptime_s))

    async def alive(self, spec: ProcessSpec) -> bool:
        asking = self._prober.alive(spec, spec.liveness.timeout_s if spec.liveness else 0.0)
        return await self._probed.note(spec.name, "live", asking)

    def memory(self, child: Child) -> int:
        return tree_memory(child.id.pid)

    def stage(self, spec: ProcessSpec, said: str) -> Stage:
        return self._loads.look(spec.name, said)

    def started(self, spec: ProcessSpec) -> None:
        self._loads.ended(spec.name)

    async def explain(self, spec: ProcessSpec, code: int, verdict: str) -> Ending:
        from dynamo_cli.supervisor.hints.find import hint_of  # late: many regular expressions, seldom needed

        await self._launcher.logs.synced()
        oom = oom_words(self._oom_kills.get(spec.name, OomKills()), oom_kills()) if code == -signal.SIGKILL else ""
        oom = "" if verdict else oom
        lines = self._output.last_lines(spec.name, LAST_LINES) or (self._output.lost() if code else [])
        failed = Failed(family(spec.engine, spec.argv), spec.argv, lines)
        advice = hint_of(failed, code, oom=bool(oom), condemned=bool(verdict)) if code else None
        clear = not spec.foreign and code in CLEAR
        return ending(code, lines, oom=oom, verdict=verdict, advice=advice, clear=clear)

    def collect(self, service: Service, crash: Crash) -> None:
        self._crashes.collect(crash, service.keep_evidence)

    def waits_for(self, spec: ProcessSpec) -> Wait:
        names = {place_of(name): name for name, service in self._services.items() if not service.status.replaces}
        services = {place: self._services[name].status for place, name in names.items()}
        return unmet(spec.depends_on, services, lambda place, line: self._output.wrote(names[place], line))

    def changed(self, service: Service) -> None:
        status = service.status
        if not (status.replaces or status.leaving):
            if status.state in ("BACKOFF", "FAILED") and not self._first_failed:
                self._first_failed = status.name
            self._answering.forget(self.plan.models if status.kind == "frontend" else [status.model])
        if self._record.services.get(status.name) != (past := service.past):
            self._record.services[status.name] = past
            self._save()
        log = logger.warning if status.state in ("BACKOFF", "FAILED") else logger.info
        log("%s is %s%s", status.name, status.state, f": {status.reason}" if status.reason else "")
        self.bus.publish(status.name, status.state, status.reason)
        self._changed.set()

    def _crew_changed(self) -> None:
        """What is known of a service that is no more must not be taken for that of another of its name."""
        for known in (self._record.processes, self._record.services):
            for name in known.keys() - self._services.keys():
                del known[name]
        self._probed.keep(self._services)
        self._save()
        self._changed.set()

    def _statuses(self) -> list[ServiceStatus]:
        return [service.status for service in self._services.values()]

    def _no_room(self, service: Service, spec: ProcessSpec) -> str:
        held = self.memory(service.child) if service.child else 0
        return no_room(spec, held, available_memory())

    async def _known(self, service: Service) -> None:
        if service.spec.kind == "worker" and service.spec.model:
            await self._lookout.known(service.spec.name, FOREIGN_KNOWN_S if service.spec.foreign else KNOWN_S)

    def _prepare(self) -> None:
        spawn.adopt_orphans()
        self._save()
        if sys.platform == "linux":
            asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap_adopted)

    def _reap_adopted(self) -> list[int]:
        own = {s.child.id.pid for s in self._services.values() if s.child}
        askers = self._prober.commands.pids | self._gpu_memory.pids | self._sampler.gpus.meter.pids
        return reap_adopted(own | self._launcher.own_pids | askers)

    async def _judge_until_stopped(self) -> None:
        stopped = asyncio.ensure_future(self._stopping.wait())
        while not self._stopping.is_set():
            self._changed.clear()
            verdict = health.judge(self._statuses(), self.plan.models, self._answering.models, self._was_ready)
            self._was_ready = self._was_ready or verdict.state == "READY"
            self._publish(verdict.state, verdict.reason)
            if verdict.state == "FAILED" and not self._record.detached:
                self.failure, self.exit_code = verdict.reason, self._failed_exit_code()
                break
            changed = asyncio.ensure_future(self._changed.wait())
            await asyncio.wait({changed, stopped}, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
        stopped.cancel()

    def _failed_exit_code(self) -> int:
        failed = self._services.get(self._first_failed)
        return exit_class(failed.status.exit_code if failed else None)

    def _refuse_while_stopping(self) -> None:
        if self.stopping:
            raise UsageError(f"{self.plan.deployment} is stopping")

    async def _stop_in_order(self) -> None:
        """Frontends first, and each service after those that depend on it."""
        self._publish("STOPPING", self.failure)
        await self._crew.close()
        if self._listener:
            self._listener.close()
        running = dict(self._crew.running)
        frontends = {name for name, s in self._services.items() if s.spec.kind == "frontend"}

        async def stop_one(name: str) -> None:
            place, services = place_of(name), self._services.items()
            users = {other for other, s in services if place in {d.name for d in s.spec.depends_on}}
            before = users | (frontends if name not in frontends else set())
            await asyncio.gather(*(running[other] for other in before), return_exceptions=True)
            service = self._services.get(name)
            if service:
                service.force() if self._force else service.close()
            await asyncio.wait({running[name]})

        await asyncio.gather(*(stop_one(name) for name in running), return_exceptions=True)

    async def _end_everything(self) -> None:
        await sweep([], marks(self._record.deployment_id))
        await end_adopted(self._launcher.own_pids)
        self._launcher.close()

    def _publish(self, state: DeploymentState, reason: str) -> None:
        if (state, reason) == (self._record.state, self._record.reason):
            return
        if state != self._record.state:
            logger.info("%s is %s%s", self.plan.deployment, state, f": {reason}" if reason else "")
        self._record.state, self._record.reason = state, reason
        self._save()
        self.bus.publish("", state, reason)

    def _save(self) -> None:
        try:
            write(self.paths.state, self._record)
            self._unsaved = False
        except ResourceMissing as error:
            if not self._unsaved:
                logger.warning("%s; the deployment goes on", error)
            self._unsaved = True
