"""The options of metrics on the command line and in the environment."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass

from dynamo_cli.frontend.metrics.buckets import DEFAULT_BUCKETS, Buckets
from dynamo_cli.frontend.metrics.text import DEFAULT_PREFIX, check_prefix

_PREFIX = "DYN_METRICS_PREFIX"


@dataclass(frozen=True)
class MetricsOptions:
    prefix: str = DEFAULT_PREFIX
    buckets: Buckets = DEFAULT_BUCKETS


def add_metrics_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--metrics-prefix", metavar="NAME", help=f"what the names of metrics begin with ({_PREFIX}; {DEFAULT_PREFIX})"
    )


def metrics_options(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> MetricsOptions:
    """Raises UsageError."""
    prefix = arguments.metrics_prefix or environ.get(_PREFIX) or DEFAULT_PREFIX
    return MetricsOptions(check_prefix(prefix), Buckets.from_environment(environ))
