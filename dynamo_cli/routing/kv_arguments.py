"""The options of router mode kv on the command line and in the environment, named as the reference names them."""

from __future__ import annotations

import argparse
import logging
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from dynamo_cli.errors import UsageError
from dynamo_cli.protocol.openai import MOST_WEIGHT
from dynamo_cli.routing.kv_options import DEFAULT_BLOCK_SIZE, OF_REFERENCE, KvRoutingOptions
from dynamo_cli.routing.modes import CACHE_POLICIES, KV_POLICIES

_ON, _OFF = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


class _Number(NamedTuple):
    """An option with a number. `flags`: the first one is its name; `most` and `least` are allowed."""

    field: str
    flags: tuple[str, ...]
    variables: tuple[str, ...]
    help: str
    least: float = 0.0
    most: float = math.inf
    whole: bool = False


class _Switch(NamedTuple):
    """An option that is on or off: --NAME and --no-NAME."""

    field: str
    names: tuple[str, ...]
    variable: str
    help: str


_YEAR_S = 31_536_000
_NUMBERS = (
    _Number(
        "overlap_credit",
        ("--router-kv-overlap-score-credit", "--router-kv-overlap-score-weight", "--kv-overlap-score-weight"),
        ("DYN_ROUTER_KV_OVERLAP_SCORE_CREDIT", "DYN_ROUTER_KV_OVERLAP_SCORE_WEIGHT", "DYN_KV_OVERLAP_SCORE_WEIGHT"),
        "blocks saved for each block found at a worker; 0 looks at load alone",
        most=MOST_WEIGHT,
    ),
    _Number(
        "host_credit",
        ("--router-host-cache-hit-weight",),
        ("DYN_ROUTER_HOST_CACHE_HIT_WEIGHT",),
        "the same for a block in host memory",
        most=MOST_WEIGHT,
    ),
    _Number(
        "disk_credit",
        ("--router-disk-cache-hit-weight",),
        ("DYN_ROUTER_DISK_CACHE_HIT_WEIGHT",),
        "the same for a block on disk",
        most=MOST_WEIGHT,
    ),
    _Number(
        "temperature",
        ("--router-temperature",),
        ("DYN_ROUTER_TEMPERATURE",),
        "0: always the cheapest worker; more: dearer ones too, by softmax",
    ),
    _Number(
        "decay_rate",
        ("--router-kv-overlap-score-credit-decay",),
        ("DYN_ROUTER_KV_OVERLAP_SCORE_CREDIT_DECAY",),
        "cost reference: how fast a found block is worth less where more is queued than elsewhere",
        most=MOST_WEIGHT,
    ),
    _Number(
        "prefill_load_scale",
        ("--router-prefill-load-scale",),
        ("DYN_ROUTER_PREFILL_LOAD_SCALE",),
        "cost reference: what a block to be computed counts",
        most=MOST_WEIGHT,
    ),
    _Number(
        "decode_active_request_weight",
        ("--router-decode-active-request-weight",),
        ("DYN_ROUTER_DECODE_ACTIVE_REQUEST_WEIGHT",),
        "cost reference: blocks that each request in flight counts",
        most=MOST_WEIGHT,
    ),
    _Number(
        "ttl_s",
        ("--router-ttl-secs",),
        ("DYN_ROUTER_TTL_SECS",),
        "seconds a routed prompt is thought to stay in a cache that sends no events",
        least=1e-3,
    ),
    _Number(
        "max_tree_size",
        ("--router-max-tree-size",),
        ("DYN_ROUTER_MAX_TREE_SIZE",),
        "blocks thought to be in such caches at most",
        least=1,
        whole=True,
    ),
    _Number(
        "prune_ratio",
        ("--router-prune-target-ratio",),
        ("DYN_ROUTER_PRUNE_TARGET_RATIO",),
        "beyond that they are cut to this share of it",
        most=1.0,
    ),
    _Number(
        "predicted_ttl_s",
        ("--router-predicted-ttl-secs",),
        ("DYN_ROUTER_PREDICTED_TTL_SECS",),
        "with events: seconds a routed prompt counts as present before they tell of it",
        least=1e-3,
    ),
    _Number(
        "session_ttl_s",
        ("--router-session-affinity-ttl-secs",),
        ("DYN_ROUTER_SESSION_AFFINITY_TTL_SECS",),
        "requests of one X-Dynamo-Session-ID go to one worker until it is idle for so many seconds",
        least=1,
        most=_YEAR_S,
    ),
    _Number(
        "block_size",
        ("--kv-cache-block-size",),
        ("DYN_KV_CACHE_BLOCK_SIZE",),
        f"tokens of a KV block of workers that do not tell; otherwise {DEFAULT_BLOCK_SIZE}",
        least=1,
        most=1 << 20,
        whole=True,
    ),
)
_ALSO = {"block_size": (("--router-block-size", "--block-size"), ("DYN_ROUTER_BLOCK_SIZE",))}
"""Further flags and variables of the router process."""
_SWITCHES = (
    _Switch(
        "use_events",
        ("router-kv-events", "kv-events"),
        "DYN_ROUTER_USE_KV_EVENTS",
        "believe what workers tell of their caches; without it, guess",
    ),
    _Switch(
        "track_active_blocks",
        ("router-track-active-blocks", "track-active-blocks"),
        "DYN_ROUTER_TRACK_ACTIVE_BLOCKS",
        "weigh blocks in use by requests in flight",
    ),
    _Switch(
        "track_output_blocks",
        ("router-track-output-blocks", "track-output-blocks"),
        "DYN_ROUTER_TRACK_OUTPUT_BLOCKS",
        "weigh the blocks of their answers too",
    ),
    _Switch(
        "replica_sync",
        ("router-replica-sync",),
        "DYN_ROUTER_REPLICA_SYNC",
        "several frontends tell each other what they route",
    ),
)
_POLICY, _POLICY_VARIABLE = "--router-kv-policy", "DYN_ROUTER_KV_POLICY"
_MODE, _MODE_VARIABLE = "--router-session-affinity-mode", "DYN_ROUTER_SESSION_AFFINITY_MODE"
_MODES = ("hard", "soft")
_CACHE, _CACHE_VARIABLE = "--router-approximate-cache-policy", "DYN_ROUTER_APPROXIMATE_CACHE_POLICY"
log = logging.getLogger(__name__)


def add_kv_routing_arguments(parser: argparse.ArgumentParser, process: bool = False) -> None:
    """`process`: of the router process, which has more names for some."""
    group = parser.add_argument_group("router mode kv", "requests go where their prompt is cached, unless it is busy")
    default = KvRoutingOptions()
    group.add_argument(
        _POLICY, help=f"its cost: {', '.join(KV_POLICIES)} ({_POLICY_VARIABLE}; default {default.policy})"
    )
    for number in _numbers(process):
        value = getattr(default, number.field)
        shown = f"default {value:g}" if value is not None else "off by default"
        text = f"{number.help} ({number.variables[0]}; {shown})"
        group.add_argument(*number.flags, dest=f"kv_{number.field}", metavar="N", help=text)
    for switch in _SWITCHES:
        shown = "on" if getattr(default, switch.field) else "off"
        text, dest = f"{switch.help} ({switch.variable}; default {shown})", f"kv_{switch.field}"
        yes, no = ([f"--{name}" for name in switch.names], [f"--no-{name}" for name in switch.names])
        group.add_argument(*yes, dest=dest, action="store_true", default=None, help=text)
        group.add_argument(*no, dest=dest, action="store_false", default=None, help=f"not so: {switch.names[0]}")
    group.add_argument(
        _CACHE,
        help=f"what is guessed of a cache ends by age (ttl), or when others need its room (lru) ({_CACHE_VARIABLE}; "
        "default ttl)",
    )
    group.add_argument(_MODE, help=f"hard, or soft: unless waiting there is longer ({_MODE_VARIABLE}; default hard)")


def kv_routing_options(
    arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ, process: bool = False
) -> KvRoutingOptions:
    """Raises UsageError, which names the option or variable."""
    given: dict[str, Any] = {}
    for number in _numbers(process):
        place, text = number.flags[0], getattr(arguments, f"kv_{number.field}")
        if text is None:
            place = next((one for one in number.variables if environ.get(one)), "")
            text = environ.get(place, "")
        if text and text.lower() != "none":
            given[number.field] = _number(place, text, number)
    for switch in _SWITCHES:
        value = getattr(arguments, f"kv_{switch.field}")
        if value is None and environ.get(switch.variable):
            value = _switch(switch.variable, environ[switch.variable])
        if value is not None:
            given[switch.field] = value
    if policy := _one_of(_POLICY, arguments.router_kv_policy, _POLICY_VARIABLE, KV_POLICIES, environ):
        given["policy"] = policy
    if mode := _one_of(_MODE, arguments.router_session_affinity_mode, _MODE_VARIABLE, _MODES, environ):
        given["session_mode"] = mode
    if cache := _one_of(_CACHE, arguments.router_approximate_cache_policy, _CACHE_VARIABLE, CACHE_POLICIES, environ):
        given["cache_policy"] = cache
    options = KvRoutingOptions(**given)
    if options.policy != "reference":
        _warn_of_unused(options)
    return options


def _warn_of_unused(options: KvRoutingOptions) -> None:
    """Weights of the reference's cost mean nothing in another one."""
    default = KvRoutingOptions()
    for number in _NUMBERS:
        if number.field in OF_REFERENCE and getattr(options, number.field) != getattr(default, number.field):
            log.warning(
                "%s (%s) is not used: the cost %s has no such part; leave it out, or add %s reference",
                *(number.flags[0], number.variables[0], options.policy, _POLICY),
            )


def _numbers(process: bool) -> Iterator[_Number]:
    for number in _NUMBERS:
        flags, variables = _ALSO.get(number.field, ((), ())) if process else ((), ())
        yield number._replace(flags=number.flags + flags, variables=number.variables + variables)


def _number(place: str, text: str, wanted: _Number) -> float | int:
    try:
        value: float = int(text) if wanted.whole else float(text)
    except ValueError:
        value = math.nan
    if not wanted.least <= value <= wanted.most or math.isinf(value):
        kind = "a whole number" if wanted.whole else "a number"
        least = "more than 0" if 0 < wanted.least < 1 else f"{wanted.least:g} or more"
        size = least if math.isinf(wanted.most) else f"from {wanted.least:g} to {wanted.most:g}"
        raise UsageError(f"{place} {text!r}: want {kind}, {size}")
    return value


def _switch(variable: str, text: str) -> bool:
    word = text.strip().lower()
    if word not in _ON + _OFF:
        raise UsageError(f"{variable}={text!r}: want true or false")
    return word in _ON


def _one_of(
    flag: str, given: str | None, variable: str, choices: tuple[str, ...], environ: Mapping[str, str]
) -> str | None:
    place, value = (flag, given) if given is not None else (variable, environ.get(variable))
    if value and value not in choices:
        raise UsageError(f"{place} {value!r}: use {', '.join(choices[:-1])} or {choices[-1]}")
    return value or None
