"""What pools and services have in common: restarts, working directories, and who depends on whom."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from dynamo_cli.topology.parts import Managed, ServicePart, Topology
from dynamo_cli.topology.positions import KeyPath
from dynamo_cli.topology.process import Dependency
from dynamo_cli.topology.report import Report
from dynamo_cli.topology.words import quoted, suggestion

FRONTEND = "frontend"


def check_processes(topology: Topology, report: Report) -> None:
    """Add the problems of each, and of all together."""
    everyone: dict[str, Managed] = {**topology.workers, **topology.services}
    for name, part in everyone.items():
        path: KeyPath = ("workers" if name in topology.workers else "services", name)
        _check_one(part, path, report)
        _check_dependencies(part, path, everyone, report)
    for name, service in topology.services.items():
        _check_service(name, service, topology, report)
    for name, after in _cycles(everyone):
        section = "workers" if name in topology.workers else "services"
        report.add((section, name, "depends_on"), f"depends on itself by way of {after}")


def _check_one(part: Managed, path: KeyPath, report: Report) -> None:
    restart = part.restart
    if not report.touches((*path, "restart")) and restart.backoff_s > restart.backoff_max_s:
        what = f"is more than backoff_max_s, which is {restart.backoff_max_s:g}"
        report.add((*path, "restart", "backoff_s"), what)
    if part.cwd and not report.touches((*path, "cwd")) and not Path(part.cwd).is_dir():
        report.add((*path, "cwd"), f"there is no directory {part.cwd}")


def _check_service(name: str, service: ServicePart, topology: Topology, report: Report) -> None:
    path: KeyPath = ("services", name)
    pool, _, number = name.rpartition("-")
    if name in topology.workers:
        report.add(path, "a pool of workers has this name too; choose another one")
    elif number.isdecimal() and pool in (*topology.workers, FRONTEND):
        report.add(path, f"is what a replica of {pool} is called; choose another name")
    if not service.command and not report.touches((*path, "command")):
        report.add((*path, "command"), "is missing; a service is a command")
    for key, text in () if report.touches((*path, "ports")) else _texts(service):
        for port in re.findall(r"\{port:([^}]*)\}", text):
            if port not in service.ports:
                what = f"no port {quoted(port)}"
                what += suggestion(port, service.ports) if service.ports else f"; add ports = [{quoted(port)}]"
                report.add((*path, *key), what)
    probe = service.probe
    if probe and probe.tcp and not re.fullmatch(r"\d+|\{port:[^}]*\}", str(probe.tcp)):
        report.add((*path, "probe", "tcp"), f"expected a port or {{port:NAME}}, found {quoted(str(probe.tcp))}")
    if probe and probe.http and not re.match(r"https?://|/", probe.http):
        report.add((*path, "probe", "http"), f"expected a URL, or a path such as /health, found {quoted(probe.http)}")
    elif probe and probe.http.startswith("https:"):
        report.add((*path, "probe", "http"), "https is not available yet; use http or exec")
    elif probe and probe.http.startswith("/") and not service.ports:
        report.add((*path, "probe", "http"), 'a path needs a port to ask; add ports = ["http"] or write the whole URL')


def _texts(service: ServicePart) -> Iterator[tuple[KeyPath, str]]:
    yield from ((("command",), word) for word in service.command)
    yield from ((("env", name), value) for name, value in service.env.items())
    if service.probe:
        yield ("probe", "http"), service.probe.http
        yield ("probe", "tcp"), str(service.probe.tcp)
        yield from ((("probe", "exec"), word) for word in service.probe.exec)


def _check_dependencies(part: Managed, path: KeyPath, everyone: Mapping[str, Managed], report: Report) -> None:
    if report.touches((*path, "depends_on")):
        return
    others = [name for name in (FRONTEND, *everyone) if name != part.name]
    for position, wanted in enumerate(part.depends_on):
        listed = (*path, "depends_on", position) in report.places.lines
        at = (*path, "depends_on", position if listed or report.places.is_set((*path, "depends_on")) else wanted.name)
        what = _dependency_problem(part.name, wanted, others, everyone)
        if what:
            report.add(at, what)


def _dependency_problem(
    name: str, wanted: Dependency, others: list[str], everyone: Mapping[str, Managed]
) -> str | None:
    if wanted.name == name:
        return "a process cannot depend on itself"
    if wanted.name not in others:
        return f"no pool or service {quoted(wanted.name)}{suggestion(wanted.name, others)}"
    if wanted.condition == "exited" and not isinstance(everyone.get(wanted.name), ServicePart):
        return f"{wanted.name} does not end by itself; wait until it is ready or started"
    if wanted.condition == "exited" and everyone[wanted.name].restart.mode == "always":
        return f'{wanted.name} has restart = "always" and so never ends'
    return None


def _cycles(everyone: Mapping[str, Managed]) -> Iterator[tuple[str, str]]:
    """(name, the chain that leads back to it) once for each cycle."""
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        for other in (wanted.name for wanted in everyone[name].depends_on):
            if other in trail and other != name:
                yield other, " -> ".join((*trail[trail.index(other) :], other))
            elif other in everyone and other not in done and other != name:
                yield from walk(other, (*trail, other))
        done.add(name)

    for name in everyone:
        if name not in done:
            yield from walk(name, (name,))
