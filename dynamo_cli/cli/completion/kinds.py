"""What the values of arguments and options are. A new positional argument needs its row here, or a known metavar.

Files, directories and topologies are looked up by the shell itself; of every other kind it asks `dynamo __complete`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from dynamo_cli.cli.completion.shells import SHELLS
from dynamo_cli.router.affinity import AFFINITY_MODES
from dynamo_cli.router.index import CACHE_POLICIES
from dynamo_cli.router.policies import KV_POLICIES, MODES
from dynamo_cli.supervisor.watching import WANTED
from dynamo_cli.workers.engines.registry import SPECS

AskedKind = Literal[
    "deployment",  # that runs
    "any-deployment",  # that was ever started
    "service",  # a service or pool of the deployment that runs, or of the one that -d names
    "log-source",  # the same, also of the last one that ran, and the supervisor's own log
    "replicas",  # POOL=
    "part",  # a pool or service of the topology file on the command line
    "setting",  # KEY= and VALUE of a topology
    "model",  # that can be pulled or is on this disk
    "served-model",  # that a deployment serves
]
Kind = Literal["none", "file", "directory", "topology", AskedKind]
ASKED: tuple[str, ...] = get_args(AskedKind)

LOG_LEVELS = ("trace", "debug", "info", "warning", "error")


class Values(NamedTuple):
    """Either fixed `choices`, or what `kind` says. An argument of kind "none" takes any text."""

    kind: Kind = "none"
    choices: tuple[str, ...] = ()


ANY_TEXT = Values()
BY_METAVAR = {
    "DEPLOYMENT": Values("deployment"),
    "SERVICE": Values("service"),
    "POOL=N": Values("replicas"),
    "PART": Values("part"),
    "TOPOLOGY": Values("topology"),
    "KEY=VALUE": Values("setting"),
    "MODEL": Values("served-model"),
    "FILE": Values("file"),
    "PATH": Values("file"),
    "DIR": Values("directory"),
    "DIRECTORY": Values("directory"),
    "SHELL": Values(choices=SHELLS),
}
BY_PARAMETER = {
    ("apply", "file"): Values("topology"),
    ("bench", "model"): Values("served-model"),
    ("chat", "model"): Values("served-model"),
    ("chat", "question"): ANY_TEXT,
    ("down", "name"): Values("deployment"),
    ("explain", "request"): ANY_TEXT,
    ("frontend", "router_mode"): Values(choices=MODES),
    ("frontend", "router_kv_policy"): Values(choices=KV_POLICIES),
    ("frontend", "router_approximate_cache_policy"): Values(choices=CACHE_POLICIES),
    ("frontend", "router_session_affinity_mode"): Values(choices=AFFINITY_MODES),
    ("router", "router_kv_policy"): Values(choices=KV_POLICIES),
    ("router", "router_session_affinity_mode"): Values(choices=AFFINITY_MODES),
    ("init", "model"): Values("model"),
    ("logs", "deployment"): Values("any-deployment"),
    ("logs", "level"): Values(choices=LOG_LEVELS),
    ("logs", "services"): Values("log-source"),
    ("plan", "file"): Values("topology"),
    ("pull", "name"): Values("model"),
    ("status", "wait"): Values(choices=WANTED),
    ("topology show", "file"): Values("topology"),
    ("up", "file"): Values("topology"),
    ("worker", "engine"): Values(choices=("auto", *SPECS)),
    ("worker", "model"): Values("model"),
}
"""By the words of the command and the name of the parameter; these go before the metavar."""


def values_of(command: str, parameter: str, metavar: str | None, annotation: Any = None) -> Values | None:
    """None for a parameter that nothing is said of."""
    if (command, parameter) in BY_PARAMETER:
        return BY_PARAMETER[command, parameter]
    choices = tuple(_choices_of(annotation)) or _choices_in(metavar or "")
    if choices:
        return Values(choices=choices)
    word = re.sub(r"[][.]| .*", "", metavar or "")
    if word in BY_METAVAR:
        return BY_METAVAR[word]
    return Values("file") if Path in _members(annotation) else None


def _choices_of(annotation: Any) -> Iterator[str]:
    for member in _members(annotation):
        if isinstance(member, type) and issubclass(member, Enum):
            yield from (str(choice.value) for choice in member)
        elif get_origin(member) is Literal:
            yield from map(str, get_args(member))


def _members(annotation: Any) -> Iterator[Any]:
    """The type itself, or those that a union, a list, a tuple or Annotated is made of."""
    if get_origin(annotation) in (None, Literal):
        yield annotation
        return
    for member in get_args(annotation):
        yield from _members(member)


def _choices_in(metavar: str) -> tuple[str, ...]:
    """Those that a metavar lists as `a|b` or `{a,b}`."""
    listed = re.fullmatch(r"\[?(?:\{([\w,-]+)\}|([\w-]+(?:\|[\w-]+)+))\]?(?:\.\.\.)?", metavar)
    return tuple(re.split(r"[,|]", listed[1] or listed[2])) if listed else ()
