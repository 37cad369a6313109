"""Taking over a detached deployment whose supervisor died: its processes, their output, and the public socket."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import stat
from collections.abc import Collection, Mapping
from typing import NamedTuple

from dynamo_cli.errors import PortBusy
from dynamo_cli.runtime.handover import awaited
from dynamo_cli.runtime.http import listener
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.admin_calls import call
from dynamo_cli.supervisor.adoption import Adoption, Resumed, base_environment, decide, with_one_for_each_place
from dynamo_cli.supervisor.deployments import Deployment
from dynamo_cli.supervisor.processes import ProcessId, age_s, alive, environment, find, send
from dynamo_cli.supervisor.record import Record, write
from dynamo_cli.supervisor.service import Service
from dynamo_cli.supervisor.spawn import Child
from dynamo_cli.supervisor.sweep import marks, sweep
from dynamo_cli.topology.process import Plan

logger = logging.getLogger("dynamo.supervisor")

ASK_AGAIN_S = 0.05
PATIENCE_S = 5.0
"""For a frontend to hand the public socket over."""
LISTENER_PATH = "/listener"
OUTPUT = 1
NO_MARK = b"\0"
"""No environment holds it."""
MARKS = ("DYNAMO_DEPLOYMENT", "DYNAMO_DEPLOYMENT_ID", "DYNAMO_SERVICE")


class Prepared(NamedTuple):
    """`plan`: as it goes on, `listener`: the public listening socket, None for a plan without frontends."""

    plan: Plan
    adoption: Adoption
    listener: socket.socket | None


async def prepare(paths: DeploymentPaths, plan: Plan, record: Record) -> Prepared:
    """What is taken over. PortBusy when a stranger has the port by now."""
    paths.ensure()
    bound = await public_listener(paths, plan, record)
    if bound:
        record.url, record.port = listener.url(bound, plan.tls), bound.getsockname()[1]
    await end_unrecorded(record)
    logger.info("takes over %s, whose supervisor (pid %d) died", paths.deployment, record.supervisor.pid)
    living = {process for process in record.processes.values() if alive(process)}
    settled = with_one_for_each_place(plan, record, living)
    if settled is not plan:
        logger.warning("replicas of %s were being replaced as it died; each place keeps one", paths.deployment)
        write(paths.plan, settled)
    return Prepared(settled, decide(settled, record, living), bound)


def resume(service: Service, resumed: Resumed) -> None:
    """Let the service watch what another supervisor started."""
    process = resumed.process
    child, age = (Child(process), age_s(process)) if process else (None, 0.0)
    service.resume(resumed.past, child, age)


def outputs(adoption: Adoption) -> dict[str, int]:
    """Reading ends of the pipes that the living processes write to, by service."""
    found: dict[str, int] = {}
    for name, resumed in adoption.services.items():
        pipe = _output_of(resumed.process) if resumed.process else None
        if pipe is not None:
            found[name] = pipe
    return found


def _output_of(process: ProcessId) -> int | None:
    """None where the kernel does not give it, and for a process that writes elsewhere."""
    path = f"/proc/{process.pid}/fd/{OUTPUT}"
    try:
        if not alive(process) or not stat.S_ISFIFO(os.stat(path).st_mode):
            return None
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None


async def end_unrecorded(record: Record) -> None:
    """KILL what carries the deployment's id and is no family of a living recorded process.

    Its supervisor died between starting it and writing it down.
    """
    kept = {f"DYNAMO_SERVICE={name}".encode() for name, p in record.processes.items() if alive(p)}
    for found in find([], marks(record.deployment_id)):
        if not kept & set(environment(found.pid).split(b"\0")):
            logger.warning("pid %d was never written down and is ended", found.pid)
            send(found.id, signal.SIGKILL)
            await sweep([found.id], [NO_MARK])


async def end_strays(strays: Collection[ProcessId], patience_s: float) -> None:
    """TERM, and KILL for those that stay and what they leave: what a dead supervisor had begun to end."""
    children = [Child(process) for process in strays]
    for child in children:
        logger.info("pid %d is in the plan no more and ends", child.id.pid)
        child.signal(signal.SIGTERM)
    if children:
        await asyncio.wait([asyncio.ensure_future(child.wait()) for child in children], timeout=patience_s)
        await sweep(strays, [NO_MARK])


def original_environment(deployment: Deployment, plan: Plan) -> dict[str, str]:
    """What its supervisor was started with, from its living children: nobody else remembers it."""
    specs = {spec.name: spec for spec in plan.processes}
    children = {n: p for n, p in deployment.record.processes.items() if n in specs and alive(p)}
    added = {name: {*specs[name].env, *MARKS} for name in children}
    return base_environment({name: _variables(process.pid) for name, process in children.items()}, added)


def original_directory(deployment: Deployment, plan: Plan) -> str:
    """Where its supervisor was started: commands may name files relative to it. "" when no child tells."""
    for spec in plan.processes:
        process = deployment.record.processes.get(spec.name)
        if process and not spec.cwd and alive(process):
            try:
                return os.readlink(f"/proc/{process.pid}/cwd")
            except OSError:
                continue
    return ""


def _variables(pid: int) -> Mapping[str, str]:
    words = (os.fsdecode(word).partition("=") for word in environment(pid).split(b"\0") if word)
    return {name: value for name, _, value in words}


async def public_listener(paths: DeploymentPaths, plan: Plan, record: Record) -> socket.socket | None:
    """The listening socket back from a frontend that lives, or another one on the same port when none does.

    A frontend that hands nothing over within the patience is ended, since nobody could start another one beside it.
    None for a plan without frontends. PortBusy when a stranger has the port by now.
    """
    frontends = {spec.name for spec in plan.processes if spec.inherits_listener}
    if not frontends:
        return None
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while living := {name: p for name, p in record.processes.items() if name in frontends and alive(p)}:
        for name in living:
            if handed := await _asked(paths, name):
                return handed
        if loop.time() > deadline:
            for name, process in living.items():
                logger.warning("%s does not hand the public socket over and is ended", name)
                send(process, signal.SIGKILL)
        await asyncio.sleep(ASK_AGAIN_S)
    try:
        return listener.bind(plan.host, record.port or plan.port)
    except PortBusy as error:
        words = f"the public port of deployment {paths.deployment} is taken: {error}"
        raise PortBusy(
            f"{words}; free it and try again, or end the deployment: `dynamo down {paths.deployment}`"
        ) from None


async def _asked(paths: DeploymentPaths, frontend: str) -> socket.socket | None:
    try:
        with awaited(paths.handover_socket) as handover:
            status, _ = await call(paths.admin_socket(frontend), "POST", LISTENER_PATH, None, timeout_s=1.0)
            return handover.received() if status == 200 else None
    except (OSError, asyncio.TimeoutError):
        return None
