"""A crash as people read it, and as data. Pure."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from dynamo_cli.runtime.redact import redact, redact_command
from dynamo_cli.supervisor.crashes.crash import Crash
from dynamo_cli.supervisor.crashes.secrets import covered, without
from dynamo_cli.supervisor.crashes.surroundings import Surroundings
from dynamo_cli.supervisor.table import uptime
from dynamo_cli.supervisor.words import gibibytes
from dynamo_cli.topology.process import ProcessSpec


def files(crash: Crash, around: Surroundings, secrets: Collection[str]) -> dict[str, str]:
    """Name -> text: `summary.txt` to read, `crash.json` with everything, `output.log` with its last lines."""
    return {
        "summary.txt": covered(_text(_summary(crash, around)), secrets),
        "crash.json": without(_json(crash, around), secrets),
        "output.log": covered(_text(crash.lines), secrets),
    }


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _summary(crash: Crash, around: Surroundings) -> Iterator[str]:
    spec = crash.spec
    yield f"{spec.name} ({spec.engine or spec.kind}) {crash.words}"
    if crash.hint:
        yield f"hint: {crash.hint}"
    yield f"at {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(crash.time))}, up {uptime(crash.uptime_s)}" + (
        f", ready for {uptime(crash.ready_s)}" if crash.ready_s else ", never ready"
    )
    yield f"restarts before it: {crash.restarts}"
    if crash.phase:
        done = f", {crash.progress.percent:.0f} %" if crash.progress else ""
        yield f"phase: {crash.phase}{done}"
    yield from _section("phases", {name: f"{seconds:.1f} s" for name, seconds in crash.phases.items()})
    yield from ("", f"command: {' '.join(redact_command(spec.argv))}", f"directory: {spec.cwd or 'that of `up`'}")
    yield from _section("memory", around.memory)
    if crash.memory:
        yield f"held by it, oldest look first: {', '.join(gibibytes(held) for held in crash.memory)}"
    yield from ("", *_gpus(around))
    yield from _section("versions", around.versions)
    yield from _section("environment", around.environment)
    if around.other_variables:
        yield f"also set: {' '.join(around.other_variables)}"
    yield from ("", f"its last {len(crash.lines)} lines are in output.log")


def _section(title: str, facts: Mapping[str, str]) -> list[str]:
    return ["", f"{title}:", *(f"  {name} = {value}" for name, value in facts.items())] if facts else []


def _gpus(around: Surroundings) -> Iterator[str]:
    if around.gpus is None:
        yield f"GPUs: {around.gpus_reason or 'none of its own'}"
        return
    driver = around.gpus
    yield f"GPUs: {driver.reason or f'driver {driver.version}, CUDA {driver.cuda}'}"
    for each in driver.gpus:
        gpu = each.gpu
        holders = ", ".join(f"pid {holder.pid} {gibibytes(holder.memory)}" for holder in gpu.holders)
        free = f"{gibibytes(gpu.memory_free)} free of {gibibytes(gpu.memory_total)}"
        yield f"  {gpu.index} {gpu.name} {gpu.uuid}: {free}" + (f", held by {holders}" if holders else "")


def _json(crash: Crash, around: Surroundings) -> str:
    told: dict[str, Any] = msgspec.to_builtins(crash)
    told["spec"] = _spec(crash.spec, around)
    told.pop("lines")
    told |= msgspec.to_builtins(around)
    return msgspec.json.format(msgspec.json.encode(_redacted(told)), indent=2).decode() + "\n"


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _redacted(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(each) for each in value]
    return redact(value) if isinstance(value, str) else value


def _spec(spec: ProcessSpec, around: Surroundings) -> dict[str, Any]:
    """The plan's entry. Of its environment what is shown of all of it."""
    told: dict[str, Any] = msgspec.to_builtins(spec)
    told["argv"] = redact_command(spec.argv)
    told["env"] = {name: around.environment[name] for name in spec.env if name in around.environment}
    return told
