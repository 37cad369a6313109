"""The command line of `dynamo router`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import replace

from dynamo_cli.routing.kv_arguments import add_kv_routing_arguments, kv_routing_options
from dynamo_cli.routing.service.host import RouterOptions
from dynamo_cli.runtime.arguments import ComponentParser
from dynamo_cli.runtime.config import RuntimeConfig, add_runtime_arguments
from dynamo_cli.runtime.flags.router import OF_THE_PROCESS, ROUTER
from dynamo_cli.runtime.flags.shared import SHARED
from dynamo_cli.runtime.runtime import parse_endpoint

FLAGS = (*OF_THE_PROCESS, *ROUTER, *SHARED)
_ENDPOINT = "DYN_ROUTER_ENDPOINT"


def parse_arguments(argv: list[str], environ: Mapping[str, str] = os.environ) -> RouterOptions:
    """Flag > environment > default. Raises UsageError, which names the flag or variable."""
    parsed = _parser().parse_args(argv)
    config = RuntimeConfig.from_args(parsed, environ)
    name = parsed.endpoint or environ.get(_ENDPOINT)
    endpoint = parse_endpoint(name) if name else None
    if endpoint is not None:
        config = replace(config, namespace=endpoint.namespace, namespace_prefix=None)
    return RouterOptions(config, kv_routing_options(parsed, environ, process=True), endpoint)


def _parser() -> argparse.ArgumentParser:
    parser = ComponentParser("dynamo router", "Chooses workers for frontends in router mode kv that ask it.", FLAGS)
    parser.add_argument(
        "--endpoint", help=f"namespace.component.endpoint of the workers ({_ENDPOINT}; default: all of the namespace)"
    )
    add_kv_routing_arguments(parser, process=True)
    add_runtime_arguments(parser)
    return parser
