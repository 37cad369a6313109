"""The command line: a table, or JSON, on stdout and the progress on stderr."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dynamo_cli.bench.budgets.arguments import row_parser, wanted_rows
from dynamo_cli.bench.budgets.result import Result, as_json, as_table
from dynamo_cli.bench.budgets.rig import Rig
from dynamo_cli.bench.events.measure import BLOCKS, ROWS, Measures
from dynamo_cli.bench.events.publishers import publishers
from dynamo_cli.errors import DynamoError, UsageError


def main(argv: Sequence[str] | None = None) -> int:
    """0 also when a budget is not met: it measures."""
    arguments = _parser().parse_args(argv)
    try:
        results = _measure(arguments)
    except DynamoError as error:
        sys.stderr.write(f"dynamo: {error}\n")
        return error.exit_code
    sys.stdout.write(as_json(results) if arguments.json else as_table(results))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = row_parser("make bench-events", "Measure what KV events cost a frontend and its requests.")
    parser.add_argument("--publishers", type=int, default=4, metavar="N", help="processes that tell (default 4)")
    parser.add_argument(
        "--rate", type=float, default=BLOCKS, metavar="BLOCKS/S", help=f"of all together (default {BLOCKS})"
    )
    return parser


def _measure(arguments: argparse.Namespace) -> list[Result]:
    if arguments.publishers < 1 or arguments.rate <= 0:
        raise UsageError("--publishers and --rate must be more than 0")
    runs, scale = (1, 0.1) if arguments.quick else (max(1, arguments.runs), 1.0)
    wanted = wanted_rows(arguments.rows, ROWS)
    results = []
    with tempfile.TemporaryDirectory(prefix="dyn-", ignore_cleanup_errors=True) as home:
        rig = Rig(Path(home))
        with (
            rig.serve(delay=False, sets=("router.mode=kv",)) as served,
            publishers(rig.start_beside, served.frontend_pid, arguments.publishers, arguments.rate) as telling,
        ):
            for result in Measures(served, telling, arguments.rate, runs, scale).measure(wanted):
                sys.stderr.write(f"{result.row}: {result.measured:g} {result.unit} (budget {result.budget:g})\n")
                results.append(result)
    return results
