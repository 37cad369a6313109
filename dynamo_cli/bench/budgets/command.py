"""The command line of the budgets: a table, or JSON, on stdout and the progress on stderr."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dynamo_cli.bench.budgets.arguments import row_parser, wanted_rows
from dynamo_cli.bench.budgets.measure import Budgets
from dynamo_cli.bench.budgets.reference import Reference, installed_reference
from dynamo_cli.bench.budgets.result import Result, as_json, as_table
from dynamo_cli.bench.budgets.rig import Rig
from dynamo_cli.bench.budgets.rows import ROWS
from dynamo_cli.errors import DynamoError


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
    parser = row_parser("make bench", "Measure the performance budgets.")
    parser.add_argument(
        "--reference",
        action="store_true",
        help="measure NVIDIA Dynamo beside it, installed in an environment of its own (about 750 MB)",
    )
    return parser


def _measure(arguments: argparse.Namespace) -> list[Result]:
    runs, scale = (1, 0.1) if arguments.quick else (max(1, arguments.runs), 1.0)
    wanted = wanted_rows(arguments.rows, ROWS)
    results = []
    with tempfile.TemporaryDirectory(prefix="dyn-", ignore_cleanup_errors=True) as home:
        beside = _reference(Path(home)) if arguments.reference else None
        for result in Budgets(Rig(Path(home)), wanted, runs, scale, beside).measure():
            theirs = "" if result.reference is None else f", reference {result.reference:g}"
            sys.stderr.write(f"{result.row}: {result.measured:g} {result.unit} (budget {result.budget:g}{theirs})\n")
            results.append(result)
    return results


def _reference(home: Path) -> Reference | None:
    """None, with a line that says why, when it cannot be had."""
    try:
        return Reference(home, installed_reference())
    except DynamoError as error:
        sys.stderr.write(f"dynamo: the reference is skipped: {error}\n")
        return None
