"""Router modes by name."""

from __future__ import annotations

import difflib
import random

from dynamo_cli.errors import UsageError
from dynamo_cli.router.policies.base import Policy
from dynamo_cli.router.policies.direct import Direct
from dynamo_cli.router.policies.least_loaded import LeastLoaded
from dynamo_cli.router.policies.power_of_two import PowerOfTwo
from dynamo_cli.router.policies.random import Random
from dynamo_cli.router.policies.round_robin import RoundRobin

MODES = ("round-robin", "random", "power-of-two", "least-loaded", "direct")
DEFAULT_MODE = "round-robin"

__all__ = ["DEFAULT_MODE", "MODES", "Policy", "check_mode", "make_policy"]


def check_mode(mode: str) -> str:
    """Return `mode` when it can be used; raises UsageError naming what can."""
    if mode in MODES:
        return mode
    if mode == "kv":
        raise UsageError(f"router mode kv is not available yet; use {', '.join(MODES[:-1])} or {MODES[-1]}")
    near = difflib.get_close_matches(mode, MODES, 1)
    hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(MODES)}"
    raise UsageError(f"unknown router mode {mode!r}; {hint}")


def make_policy(mode: str, rng: random.Random) -> Policy:
    """A policy object with its own state: one for each model. Raises UsageError for an unknown mode."""
    check_mode(mode)
    if mode == "random":
        return Random(rng)
    if mode == "power-of-two":
        return PowerOfTwo(rng)
    if mode == "direct":
        return Direct()
    offset = rng.randrange(1 << 16)
    return LeastLoaded(offset) if mode == "least-loaded" else RoundRobin(offset)
