"""Kinds of values that only a topology has: GPUs, restarts, dependencies, probes, memory, commands."""

from __future__ import annotations

import re
import shlex
from typing import Any

from dynamo_cli.topology.fields import (
    INVALID,
    Flag,
    Kind,
    ListOf,
    OneOf,
    Schema,
    Seconds,
    Share,
    Table,
    Text,
    Whole,
    plain,
    wrong,
)
from dynamo_cli.topology.parts import ServiceProbe
from dynamo_cli.topology.positions import KeyPath
from dynamo_cli.topology.process import Dependency, Liveness, RestartPolicy
from dynamo_cli.topology.report import Report
from dynamo_cli.topology.words import found, quoted

RESTART_MODES = ("no", "on-failure", "always")
CONDITIONS = ("started", "ready", "exited")
GPU_WORDS = re.compile(r"auto|mig(-(\d+c\.)?\d+g\.\d+gb(\+[a-z.]+)*)?")
UNITS = {"": 1, "B": 1} | {
    f"{letter}{i}": (1024 if i == "iB" else 1000) ** power
    for power, letter in enumerate("KMGT", 1)
    for i in ("iB", "B", "")
}


class Gpus(Kind):
    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        value = plain(value)
        if isinstance(value, str) and GPU_WORDS.fullmatch(value):
            return value
        if isinstance(value, list):
            return self._ids(value, path, report)
        if isinstance(value, bool) or not isinstance(value, int):
            words = 'expected "auto", a whole number, a list of GPU ids, "mig" or "mig-PROFILE"'
            report.add(path, f"{words}, found {found(value)}")
            return INVALID
        return Whole(0, 1024).read(value, path, report)

    def schema(self) -> Schema:
        ids = {"type": "array", "items": {"type": ["integer", "string"]}, "uniqueItems": True}
        return {"anyOf": [{"type": "string", "pattern": f"^({GPU_WORDS.pattern})$"}, Whole(0, 1024).schema(), ids]}

    def _ids(self, ids: list[Any], path: KeyPath, report: Report) -> Any:
        sound = True
        for position, item in enumerate(ids):
            if isinstance(item, bool) or not isinstance(item, int | str) or item == "":
                report.add((*path, position), f"expected a GPU's index or UUID, found {found(item)}")
            elif isinstance(item, int) and item < 0:
                report.add((*path, position), f"a GPU's index is 0 or more, found {item}")
            elif item in ids[:position]:
                report.add((*path, position), f"GPU {item} is listed twice")
            else:
                continue
            sound = False
        return tuple(ids) if sound else INVALID


class Restart(Kind):
    """A mode alone, or a table."""

    table = Table(
        RestartPolicy,
        {
            "mode": OneOf(RESTART_MODES, "restart mode"),
            "max_restarts": Whole(0, 1_000_000),
            "window_s": Seconds(),
            "backoff_s": Seconds(zero=True),
            "backoff_max_s": Seconds(zero=True),
            "jitter": Share(),
            "stable_s": Seconds(),
            "success_codes": ListOf(Whole(0, 255), "exit codes"),
        },
        docs={
            "mode": "no, on-failure or always",
            "max_restarts": "restarts within window_s after which it is given up",
            "window_s": "seconds in which restarts are counted",
            "backoff_s": "seconds before the first restart, doubled with each one that follows",
            "backoff_max_s": "the longest wait, in seconds",
            "jitter": "each wait is longer or shorter by up to this share of itself",
            "stable_s": "a process that was ready this many seconds has a clean record; default window_s",
            "success_codes": "exit codes that are no failure",
        },
    )

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        if isinstance(value, dict):
            return self.table.read(value, path, report)
        mode = self.table.fields["mode"].read(value, path, report)
        return mode if mode is INVALID else RestartPolicy(mode=mode)

    def schema(self) -> Schema:
        return {"anyOf": [self.table.fields["mode"].schema(), self.table.schema()]}


class DependsOn(Kind):
    """Names, each to be waited for until it is ready; or a table of names and conditions."""

    names = ListOf(Text(), "names of pools and services")
    pattern = Table(dict, {"log": Text()}, docs={"log": "a regular expression that a line it writes must match"})
    words = OneOf(CONDITIONS, "condition")

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        if isinstance(value, dict):
            return self._table(value, path, report)
        if not isinstance(value, list):
            return wrong("a list of names or a table", value, path, report)
        names = self.names.read(value, path, report)
        return names if names is INVALID else tuple(Dependency(name) for name in names)

    def schema(self) -> Schema:
        condition = {"anyOf": [self.words.schema(), self.pattern.schema()]}
        return {"anyOf": [self.names.schema(), {"type": "object", "additionalProperties": condition}]}

    def _table(self, conditions: dict[str, Any], path: KeyPath, report: Report) -> Any:
        read = [self._one(name, condition, (*path, name), report) for name, condition in conditions.items()]
        return INVALID if INVALID in read else tuple(read)

    def _one(self, name: str, condition: Any, path: KeyPath, report: Report) -> Any:
        if isinstance(condition, dict):
            pattern = self.pattern.read(condition, path, report).get("log")
            if pattern is None:
                if not report.touches(path):
                    report.add(path, 'expected { log = "a regular expression" }')
                return INVALID
            return Dependency(name, "log", pattern) if expression(pattern, (*path, "log"), report) else INVALID
        word = self.words.read(condition, path, report)
        return word if word is INVALID else Dependency(name, word)


class Probe(Kind):
    """A table with exactly one of its keys."""

    table = Table(
        dict,
        {"http": Text(), "tcp": Text(), "exec": ListOf(Text(empty=True), "texts"), "log": Text()},
        docs={
            "http": "a URL, or a path on its first port, that answers 2xx or 3xx",
            "tcp": "a port of this host that accepts connections: a number or {port:NAME}",
            "exec": "a command that ends with 0",
            "log": "a regular expression that a line it writes must match",
        },
    )

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        if isinstance(value, dict) and isinstance(value.get("tcp"), int) and not isinstance(value["tcp"], bool):
            port = Whole(1, 65535).read(value["tcp"], (*path, "tcp"), report)
            value = {**value, "tcp": str(port)}
        read = self.table.read(value, path, report)
        if read is INVALID or report.touches(path):
            return INVALID
        if len(read) != 1:
            report.add(path, f"expected exactly one of http, tcp, exec, log, found {len(read)}")
            return INVALID
        if "exec" in read and not read["exec"]:
            report.add((*path, "exec"), "must not be empty")
            return INVALID
        return ServiceProbe(**read) if expression(read.get("log", ""), (*path, "log"), report) else INVALID

    def schema(self) -> Schema:
        table = self.table.schema()
        del table["properties"]["tcp"]["type"]
        table["properties"]["tcp"]["anyOf"] = [Whole(1, 65535).schema(), {"type": "string"}]
        return {**table, "minProperties": 1, "maxProperties": 1}


class LivenessKind(Kind):
    """A table, or a word for on and off."""

    table = Table(
        Liveness,
        {"interval_s": Seconds(), "timeout_s": Seconds(), "failures": Whole(1, 1000)},
        docs={
            "interval_s": "seconds between two questions",
            "timeout_s": "seconds an answer may take",
            "failures": "so many in a row that are not answered end the process",
        },
    )
    word = Flag()

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        if isinstance(value, dict):
            return self.table.read(value, path, report)
        on = self.word.read(value, path, report)
        return on if on is INVALID else (Liveness() if on else False)

    def schema(self) -> Schema:
        return {"anyOf": [self.word.schema(), self.table.schema()]}


class Bytes(Kind):
    """A whole number of bytes, or text such as "8GiB"."""

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        value = plain(value)
        if isinstance(value, str):
            parts = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", value)
            if parts is None or parts[2] not in UNITS:
                report.add(path, f'expected bytes, such as "8GiB" or "500MB", found {quoted(value)}')
                return INVALID
            value = int(float(parts[1]) * UNITS[parts[2]])
        return Whole(0, 2**60).read(value, path, report)

    def schema(self) -> Schema:
        return {"anyOf": [Whole(0, 2**60).schema(), {"type": "string"}]}


class Command(Kind):
    """A list of texts, or one text split as a shell does; no shell runs it."""

    words = ListOf(Text(empty=True), "texts")

    def read(self, value: Any, path: KeyPath, report: Report) -> Any:
        if isinstance(value, str):
            try:
                value = shlex.split(value)
            except ValueError as error:
                report.add(path, f"not a command: {str(error).lower()}")
                return INVALID
        read = self.words.read(value, path, report)
        if read is not INVALID and (not read or not read[0]):
            report.add(path, "must not be empty")
            return INVALID
        return read

    def schema(self) -> Schema:
        return {"anyOf": [{"type": "string"}, {**self.words.schema(), "minItems": 1}]}


def expression(pattern: str, path: KeyPath, report: Report) -> bool:
    """Whether it is a regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        report.add(path, f"not a regular expression: {error}")
        return False
    return True
