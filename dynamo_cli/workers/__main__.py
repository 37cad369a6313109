"""`dynamo worker`: one engine replica behind the request plane."""

from __future__ import annotations

import signal
import sys

from dynamo_cli.errors import DynamoError


def main(argv: list[str]) -> int:
    """Run a worker until it is stopped; returns the exit code. Raises DynamoError."""
    from dynamo_cli.runtime.flags.refusal import heed_variables
    from dynamo_cli.runtime.logs import configure_logging
    from dynamo_cli.runtime.loop import run
    from dynamo_cli.workers.arguments import FLAGS, parse_arguments

    arguments = parse_arguments(argv)
    configure_logging()
    heed_variables(FLAGS)
    from dynamo_cli.workers.host import WorkerHost

    return 0 if run(WorkerHost(arguments).run()) else 128 + signal.SIGINT


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except DynamoError as failure:
        sys.stderr.write(f"dynamo: {failure}\n")
        sys.exit(failure.exit_code)
