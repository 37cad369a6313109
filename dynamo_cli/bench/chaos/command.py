"""The command line of the faults: a table, or JSON, on stdout and the progress on stderr."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence

from dynamo_cli.bench.chaos.faults import FAULTS, Fault
from dynamo_cli.bench.chaos.measure import measure
from dynamo_cli.bench.chaos.result import Result, SkippedRow, as_json, as_table, in_words
from dynamo_cli.bench.chaos.skipped import Skipped
from dynamo_cli.bench.chaos.soak import soak, soak_json, soak_table
from dynamo_cli.errors import DynamoError, UsageError

STREAMS = 64
SOAK = "soak"


def main(argv: Sequence[str] | None = None) -> int:
    """1 when something failed that could be saved, or has grown."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.rows == [SOAK]:
            return _soak(arguments)
        results = []
        for fault in _wanted(arguments.rows):
            for result in _measured(fault, arguments):
                _say(in_words(result))
                results.append(result)
    except DynamoError as error:
        sys.stderr.write(f"dynamo: {error}\n")
        return error.exit_code
    sys.stdout.write((as_json if arguments.json else as_table)(results, arguments.streams))
    return 0 if all(result.met for result in results if isinstance(result, Result)) else 1


def _soak(arguments: argparse.Namespace) -> int:
    if not (arguments.minutes > 0 and arguments.every > 0):
        raise UsageError("--minutes and --every are more than 0")
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 16)
    result = soak(arguments.minutes, arguments.every, max(1, arguments.streams), seed, _say)
    sys.stdout.write(soak_json(result) if arguments.json else soak_table(result))
    return 0 if result.met else 1


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make chaos", description="Do faults to a deployment under load.")
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help=f"only these, or {SOAK}: {' '.join(f.name for f in FAULTS)}"
    )
    parser.add_argument("--streams", type=int, default=STREAMS, help=f"requests at a time (default {STREAMS})")
    parser.add_argument("--runs", type=int, default=1, help="runs of each row, a line each (default 1)")
    parser.add_argument("--minutes", type=float, default=20.0, help=f"how long {SOAK} takes (default 20)")
    parser.add_argument("--every", type=float, default=10.0, help=f"seconds between the faults of {SOAK} (default 10)")
    parser.add_argument("--seed", type=int, help=f"of the faults of {SOAK}; another one each time without it")
    parser.add_argument("--json", action="store_true", help="print only JSON")
    return parser


def _wanted(names: Sequence[str]) -> list[Fault]:
    """Raises UsageError for a name that is none."""
    known = {fault.name: fault for fault in FAULTS}
    unknown = set(names) - set(known)
    if unknown:
        raise UsageError(
            f"there is no row {', '.join(sorted(unknown))}; the rows are {' '.join(known)}, or {SOAK} alone"
        )
    return [known[name] for name in names] or list(FAULTS)


def _measured(fault: Fault, arguments: argparse.Namespace) -> Iterator[Result | SkippedRow]:
    try:
        for _ in range(max(1, arguments.runs)):
            yield measure(fault, max(1, arguments.streams))
    except Skipped as skipped:
        yield SkippedRow(row=fault.name, what=fault.what, skipped=str(skipped))
