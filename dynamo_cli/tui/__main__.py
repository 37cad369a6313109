"""`python -m dynamo_cli.tui [DEPLOYMENT]`: show a running deployment."""

from __future__ import annotations

import sys

from dynamo_cli.errors import DynamoError
from dynamo_cli.supervisor.deployments import select
from dynamo_cli.tui import run

if __name__ == "__main__":
    try:
        run(select(next(iter(sys.argv[1:]), None)), owns=False)
    except DynamoError as error:
        sys.exit(f"dynamo: {error}")
