"""All groups of checks, in the order of the report: from the ground up."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from dynamo_cli.doctor import children, guard
from dynamo_cli.doctor.check import Check, Question
from dynamo_cli.doctor.machine import Asked, Machine

GROUPS = (
    *("system", "user", "memory", "limits", "gpus", "network", "python", "engines", "models", "planes"),
    *("deployments", "topology"),
)
"""Each is a module of this package with `questions(machine)`."""
RUNTIME_GROUPS = ("python", "engines", "planes", "topology")
ANSWER_S = 10.0
THOROUGH_ANSWER_S = 150.0
"""Longer than what a thorough question does may take by its own limits."""


class Group(NamedTuple):
    name: str
    checks: list[Check]


def examine(machine: Machine) -> Iterator[Group]:
    """Every group as soon as it is known. Never raises for what is wrong with the machine."""
    try:
        for name in groups(machine.asked):
            checks = _checks(name, machine)
            if checks:
                yield Group(name, checks)
    finally:
        children.end_all()


def groups(asked: Asked) -> list[str]:
    left_out = {"gpus": not asked.gpus, "engines": not asked.engines, "topology": not asked.topology}
    wanted = RUNTIME_GROUPS if asked.runtime_only else GROUPS
    return [name for name in wanted if not left_out.get(name)]


def _checks(group: str, machine: Machine) -> list[Check]:
    timeout_s = THOROUGH_ANSWER_S if machine.asked.thorough else ANSWER_S
    return [check for question in _questions(group, machine) for check in guard.answers(question, timeout_s)]


def _questions(group: str, machine: Machine) -> list[Question]:
    try:
        return list(importlib.import_module(f"dynamo_cli.doctor.{group}").questions(machine))
    except Exception as failure:
        return [Question(group, partial(_raise, failure))]


def _raise(failure: Exception) -> Check:
    raise failure
