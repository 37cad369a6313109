"""The option of asking a router process."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping

from dynamo_cli.errors import UsageError
from dynamo_cli.routing.kv_options import KvRoutingOptions
from dynamo_cli.runtime.switches import is_on

_FLAG, _VARIABLE = "--router-service", "DYN_ROUTER_SERVICE"


def add_router_service_argument(parser: argparse.ArgumentParser) -> None:
    text = f"mode kv: let the router process (dynamo router) choose, while there is one ({_VARIABLE}; default off)"
    parser.add_argument(_FLAG, action="store_true", default=None, help=text)
    parser.add_argument("--no-router-service", dest="router_service", action="store_false", help="route by itself")


def asks_router_service(
    arguments: argparse.Namespace, mode: str, kv: KvRoutingOptions, environ: Mapping[str, str] = os.environ
) -> bool:
    """Raises UsageError where there would be nothing to ask, or the router could not know enough to answer."""
    given = arguments.router_service
    if not (is_on(_VARIABLE, environ) if given is None else given):
        return False
    place = _VARIABLE if given is None else _FLAG
    if mode != "kv":
        raise UsageError(f"{place}: a router process serves router mode kv alone, this is {mode}; use --router-mode kv")
    if not kv.replica_sync:
        raise UsageError(f"{place}: the router has to hear what is routed; leave out --no-router-replica-sync")
    return True
