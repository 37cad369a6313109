"""Names of deployments and of what is in them, from the state on disk: no socket is asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence

from dynamo_cli.errors import UsageError
from dynamo_cli.logs.files import OWN_LOG
from dynamo_cli.runtime.paths import DeploymentPaths, dynamo_home
from dynamo_cli.supervisor.record import Record, read_plan, read_record
from dynamo_cli.topology.process import ProcessSpec

Described = Iterable[tuple[str, str]]


def _deployments(words: Sequence[str]) -> Described:
    return _listed(words, [record for record in _known() if record.state != "STOPPED"])


def _any_deployments(words: Sequence[str]) -> Described:
    return _listed(words, _known())


def _listed(words: Sequence[str], records: Sequence[Record]) -> Described:
    return [(each.deployment, f"{each.state} {each.topology}") for each in records if each.deployment not in words]


def _services(words: Sequence[str]) -> Described:
    return _fresh(words, _named(_running(words)))


def _log_sources(words: Sequence[str]) -> Described:
    records = _running(words) or _known()[:1]
    return _fresh(words, [*_named(records), *[(OWN_LOG, "what starts and watches the others")][: len(records)]])


def _replicas(words: Sequence[str]) -> Described:
    given = [word.partition("=")[0] for word in words]
    pools = [each for each in _pools(_running(words)) if each[1][0].kind != "service"]
    return [(f"{pool}=", f"now {len(members)}") for pool, members in pools if pool not in given]


def _served_models(words: Sequence[str]) -> Described:
    """What runs here, unless another server is named; without either what may be served."""
    elsewhere = any(word == "--url" or word.startswith("--url=") for word in words)
    served = [] if elsewhere else list(_models_of(_running(())))
    if served:
        return served
    from dynamo_cli.cli.completion.models import models

    return models()


VALUES: dict[str, Callable[[Sequence[str]], Described]] = {
    "deployment": _deployments,
    "any-deployment": _any_deployments,
    "service": _services,
    "log-source": _log_sources,
    "replicas": _replicas,
    "served-model": _served_models,
}


def _known() -> list[Record]:
    """Of every deployment that was ever started, the latest first."""
    home = dynamo_home()
    records = [_record(name) for name in (os.listdir(home) if home.is_dir() else ())]
    return sorted((record for record in records if record), key=lambda record: -record.started)


def _record(name: str) -> Record | None:
    try:
        return read_record(DeploymentPaths(name))
    except UsageError:
        return None


def _running(words: Sequence[str]) -> list[Record]:
    """The deployment that -d names among `words`, in whatever state; else those that run."""
    name = _deployment_in(words)
    if name:
        record = _record(name)
        return [record] if record else []
    return [record for record in _known() if record.supervised]


def _deployment_in(words: Sequence[str]) -> str:
    """The last one given as `-d NAME`, `-dNAME`, `--deployment NAME` or `--deployment=NAME`."""
    name, before = "", ""
    for word in words:
        if word == "--":
            break
        if before in ("-d", "--deployment"):
            name = word
        elif word.startswith("--deployment="):
            name = word.partition("=")[2]
        elif word.startswith("-d") and len(word) > 2:
            name = word[2:]
        before = word
    return name


def _pools(records: Sequence[Record]) -> Iterator[tuple[str, list[ProcessSpec]]]:
    for record in records:
        plan = read_plan(DeploymentPaths(record.deployment))
        pools: dict[str, list[ProcessSpec]] = {}
        for process in plan.processes if plan else ():
            pools.setdefault(process.pool, []).append(process)
        yield from pools.items()


def _named(records: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """Pools, each with its services after it; a pool that is named like its only service once."""
    for pool, members in _pools(records):
        yield pool, f"all of its {len(members)} processes" if len(members) > 1 else _about(members[0])
        yield from ((process.name, _about(process)) for process in members if process.name != pool)


def _about(process: ProcessSpec) -> str:
    return ", ".join(filter(None, (process.kind, process.engine)))


def _fresh(words: Sequence[str], named: Described) -> Described:
    return [each for each in named if each[0] not in words]


def _models_of(records: Sequence[Record]) -> Iterator[tuple[str, str]]:
    for record in records:
        plan = read_plan(DeploymentPaths(record.deployment))
        yield from ((model, f"served by {record.deployment}") for model in (plan.models if plan else ()))
