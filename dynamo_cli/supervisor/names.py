"""Which services a person means by names of services and pools. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from dynamo_cli.errors import UsageError
from dynamo_cli.topology.twins import twin_of


def resolve(names: Sequence[str], pools: Mapping[str, str], deployment: str) -> list[str]:
    """Services in the order of the plan, each once. `pools`: the pool of each service.

    The plain name of a replica that was replaced stands for whoever took its place.

    UsageError with the nearest name for one that is neither a service nor a pool.
    """
    known = list(dict.fromkeys([*pools, *pools.values()]))
    wanted = {twin_of(name) if name not in known and twin_of(name) in pools else name for name in names}
    for name in names:
        if name not in known and twin_of(name) not in wanted:
            raise UsageError(f"{deployment} has no service {name}; {_hint(name, known)}")
    return [service for service, pool in pools.items() if service in wanted or pool in wanted]


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
