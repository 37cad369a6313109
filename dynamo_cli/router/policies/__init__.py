"""Router modes by name."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping

from dynamo_cli.errors import UsageError
from dynamo_cli.router.policies.base import Policy
from dynamo_cli.router.policies.direct import Direct
from dynamo_cli.router.policies.kv import Kv, KvOptions
from dynamo_cli.router.policies.least_loaded import LeastLoaded
from dynamo_cli.router.policies.least_tokens import LeastTokens
from dynamo_cli.router.policies.power_of_two import PowerOfTwo
from dynamo_cli.router.policies.random import Random
from dynamo_cli.router.policies.reference import Reference, ReferenceOptions
from dynamo_cli.router.policies.round_robin import RoundRobin

MODES = ("round-robin", "random", "power-of-two", "least-loaded", "kv", "direct")
DEFAULT_MODE = "round-robin"
KV_POLICIES = ("kv", "reference", "least-tokens")
POLICIES = ("round-robin", "random", "power-of-two", "least-loaded", "least-tokens", "reference", "kv")

__all__ = ["DEFAULT_MODE", "KV_POLICIES", "MODES", "POLICIES", "Policy", "check_mode", "make_policy"]


def check_mode(mode: str) -> str:
    """Return `mode` when it can be used; raises UsageError naming what can."""
    if mode in MODES:
        return mode
    raise UsageError(f"unknown router mode {mode!r}; {_hint(mode, MODES)}")


def make_policy(name: str, rng: random.Random, weights: Mapping[str, float] | None = None) -> Policy:
    """A policy object with its own state: one for each model. `name` is one of MODES or POLICIES.

    MODES are what a frontend offers; POLICIES are all that choose by themselves. `weights`: fields of KvOptions, or of
    ReferenceOptions for "reference"; they mean nothing to other policies. Raises UsageError for another name.
    """
    if name not in POLICIES:
        check_mode(name)
    if name == "direct":
        return Direct()
    if name == "round-robin":
        return RoundRobin(rng.randrange(1 << 16))
    if name == "least-loaded":
        return LeastLoaded(rng.randrange(1 << 16))
    if name == "kv":
        return Kv(rng, KvOptions(**weights) if weights else None)
    if name == "reference":
        return Reference(rng, ReferenceOptions(**weights) if weights else None)
    return _WITH_CHANCE[name](rng)


_WITH_CHANCE: dict[str, Callable[[random.Random], Policy]] = {
    "random": Random,
    "power-of-two": PowerOfTwo,
    "least-tokens": LeastTokens,
}


def check_policy(name: str) -> str:
    """Return `name` when it is one of POLICIES; raises UsageError naming them."""
    if name in POLICIES:
        return name
    raise UsageError(f"unknown policy {name!r}; {_hint(name, POLICIES)}")


def _hint(name: str, known: Collection[str]) -> str:
    from difflib import get_close_matches  # for mistakes alone

    near = get_close_matches(name, list(known), 1)
    return f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}"
