"""What has to be done to turn one plan into another, and how people are told. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from dynamo_cli.errors import UsageError
from dynamo_cli.topology.process import Plan, ProcessSpec
from dynamo_cli.topology.render import covered
from dynamo_cli.topology.twins import place_of

ADOPTED = ("name", "generation", "engine_reason", "gpus", "probe", "restart", "stop_timeout_s", "depends_on")
"""Fields that no process has to be replaced for; of GPUs and restart policies a part is compared all the same."""
NAMESPACE, TLS = "DYN_NAMESPACE", "frontend.tls_cert_path"


Pair = tuple[ProcessSpec, ProcessSpec]


class Difference(NamedTuple):
    """`kept` goes on, by these specs; `replaced`: what runs and what is to run in its place."""

    kept: tuple[ProcessSpec, ...]
    replaced: tuple[Pair, ...]
    added: tuple[ProcessSpec, ...]
    removed: tuple[ProcessSpec, ...]

    @property
    def processes(self) -> int:
        """How many processes come or go."""
        return len(self.replaced) + len(self.added) + len(self.removed)

    @property
    def pools(self) -> list[str]:
        """Those of which a process comes or goes."""
        touched = (*(new for _, new in self.replaced), *self.added, *self.removed)
        return list(dict.fromkeys(spec.pool for spec in touched))


def difference(running: Plan, wanted: Plan) -> Difference:
    """`wanted` is planned with the ports and GPUs of what runs (Inventory.kept). UsageError for what cannot change."""
    _refuse(running, wanted)
    now = {place_of(spec.name): spec for spec in running.processes}
    then = {place_of(spec.name): spec for spec in wanted.processes}
    both = [(now[place], spec) for place, spec in then.items() if place in now]
    return Difference(
        kept=tuple(_adopting(one, other) for one, other in both if _same_process(one, other)),
        replaced=tuple((one, other) for one, other in both if not _same_process(one, other)),
        added=tuple(spec for place, spec in then.items() if place not in now),
        removed=tuple(spec for place, spec in now.items() if place not in then),
    )


def told(difference: Difference, running: Plan) -> Iterator[str]:
    """A line for each pool that changes, and below it how; `+` comes, `-` goes, `~` is replaced. Without secrets."""
    pools = {spec.pool for spec in running.processes}
    for pool, added in _by_pool(difference.added).items():
        yield f"+ {pool}: {'new, ' if pool not in pools else ''}{_names(added)}"
    for pool, pairs in _pairs_by_pool(difference.replaced).items():
        yield f"~ {pool}: {_names([old for old, _ in pairs])}"
        for words in dict.fromkeys(words for old, new in pairs for words in changed_words(old, new)):
            yield f"    {words}"
    stay = {spec.pool for spec in difference.kept} | {new.pool for _, new in difference.replaced}
    for pool, removed in _by_pool(difference.removed).items():
        yield f"- {pool}: {'' if pool in stay else 'all of it, '}{_names(removed)}"
    before = {spec.name: spec for spec in running.processes}
    adopted = [spec.name for spec in difference.kept if spec != before[spec.name]]
    if adopted:
        yield f"= {', '.join(adopted)}: how it is supervised, without a restart"
    count = len(difference.kept)
    yield f"{count} process{'' if count == 1 else 'es'} stay{'s' if count == 1 else ''} as {_are(count)}"


def changed_words(old: ProcessSpec, new: ProcessSpec) -> Iterator[str]:
    """What is different in a process: words of its command, variables, and other fields, without secrets."""
    one, other = covered(old), covered(new)
    if one.argv != other.argv:
        yield f"command: {_replaced_words(one.argv, other.argv)}"
    yield from _variables(one.env, other.env)
    for field in ("engine", "model", "cwd", "ports", "liveness", "foreign"):
        if getattr(one, field) != getattr(other, field):
            yield f"{field}: {_text(getattr(one, field))} -> {_text(getattr(other, field))}"
    if _gpus(old) != _gpus(new):
        yield f"gpus: {_text(_gpus(old))} -> {_text(_gpus(new))}"
    if old.restart.memory_limit != new.restart.memory_limit:
        yield f"memory_limit: {old.restart.memory_limit} -> {new.restart.memory_limit} bytes"
    if (old.argv, old.env) != (new.argv, new.env) and (one.argv, one.env) == (other.argv, other.env):
        yield "a secret in its command or environment"


def _refuse(running: Plan, wanted: Plan) -> None:
    fixed = {
        "name": (running.deployment, wanted.deployment),
        "frontend.host": (running.host, wanted.host),
        "frontend.port": (running.port, wanted.port),
        TLS: (_text(running.tls), _text(wanted.tls)),
    }
    spaces = [plan.processes[0].env.get(NAMESPACE, "") if plan.processes else "" for plan in (running, wanted)]
    if all(spaces):
        fixed["runtime.namespace"] = (spaces[0], spaces[1])
    for key, (now, then) in fixed.items():
        if now != then:
            keep = "" if key == TLS else f", or keep it with --set {key}={now}"
            raise UsageError(
                f"{wanted.source}: {key} is {now} in what runs and {then} here, which needs "
                f"`dynamo down {running.deployment}` and up again{keep}"
            )


def _same_process(one: ProcessSpec, other: ProcessSpec) -> bool:
    fields = (field for field in one.__struct_fields__ if field not in ADOPTED)
    return (
        all(getattr(one, field) == getattr(other, field) for field in fields)
        and _gpus(one) == _gpus(other)
        and one.restart.memory_limit == other.restart.memory_limit
    )


def _adopting(one: ProcessSpec, other: ProcessSpec) -> ProcessSpec:
    return msgspec.structs.replace(other, name=one.name, generation=one.generation, gpus=one.gpus)


def _gpus(spec: ProcessSpec) -> tuple[str, ...]:
    return tuple(gpu.uuid for gpu in spec.gpus)


def _by_pool(specs: Iterable[ProcessSpec]) -> dict[str, list[ProcessSpec]]:
    pools: dict[str, list[ProcessSpec]] = {}
    for spec in specs:
        pools.setdefault(spec.pool, []).append(spec)
    return pools


def _pairs_by_pool(pairs: Iterable[Pair]) -> dict[str, list[Pair]]:
    pools: dict[str, list[Pair]] = {}
    for old, new in pairs:
        pools.setdefault(new.pool, []).append((old, new))
    return pools


def _names(specs: Iterable[ProcessSpec]) -> str:
    return ", ".join(spec.name for spec in specs)


def _replaced_words(before: Sequence[str], after: Sequence[str]) -> str:
    parts = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind != "equal":
            parts.append(f"{' '.join(before[a:b]) or '(nothing)'} -> {' '.join(after[c:d]) or '(nothing)'}")
    return "; ".join(parts)


def _variables(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) != after.get(name):
            yield f"env {name}: {before.get(name, '(not set)')} -> {after.get(name, '(not set)')}"


def _text(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "on", False: "off"}.get(bool(value), "off")
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {port}" for name, port in value.items()) or "none"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value) or "none"


def _are(count: int) -> str:
    return "it is" if count == 1 else "they are"
