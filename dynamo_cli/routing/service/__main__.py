"""`dynamo router`: one process that chooses workers for all frontends."""

from __future__ import annotations

import signal
import sys

from dynamo_cli.errors import DynamoError
from dynamo_cli.routing.service.arguments import FLAGS, parse_arguments
from dynamo_cli.routing.service.host import RouterHost
from dynamo_cli.runtime.flags.refusal import heed_variables
from dynamo_cli.runtime.logs import configure_logging
from dynamo_cli.runtime.loop import run


def main(argv: list[str]) -> int:
    """Run a router until it is stopped; returns the exit code. Raises DynamoError."""
    options = parse_arguments(argv)
    configure_logging()
    heed_variables(FLAGS)
    return 0 if run(RouterHost(options).run()) else 128 + signal.SIGINT


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except DynamoError as failure:
        sys.stderr.write(f"dynamo: {failure}\n")
        sys.exit(failure.exit_code)
