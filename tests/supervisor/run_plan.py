"""`up` for a plan instead of a topology: run_plan.py PLAN.json [-d] [--json] [--timeout S]."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from dynamo_cli.errors import DynamoError
from dynamo_cli.supervisor.launch.claim import claim
from dynamo_cli.supervisor.launch.detached import run_detached
from dynamo_cli.supervisor.launch.foreground import run_foreground
from dynamo_cli.topology.process import Plan


def main(argv: list[str]) -> int:
    plan = msgspec.json.decode(Path(argv[0]).read_bytes(), type=Plan)
    timeout = float(argv[argv.index("--timeout") + 1]) if "--timeout" in argv else 20.0
    try:
        held = claim(plan, "-d" in argv)
        outcome = run_detached(held, timeout) if "-d" in argv else run_foreground(held, "--json" in argv)
    except DynamoError as error:
        print(f"dynamo: {error}", file=sys.stderr)
        return error.exit_code
    print(outcome.complaint, file=sys.stderr)
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
