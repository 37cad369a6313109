"""What every command that measures rows takes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from dynamo_cli.bench.budgets.rows import Row
from dynamo_cli.errors import UsageError


def row_parser(prog: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="only these rows")
    parser.add_argument("--runs", type=int, default=5, help="runs of each row; the median counts (default 5)")
    parser.add_argument("--quick", action="store_true", help="one short run of each row")
    parser.add_argument("--json", action="store_true", help="print only JSON")
    return parser


def wanted_rows(asked: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """The names asked for, or all. Raises UsageError for one that is none."""
    names = [row.name for row in rows]
    unknown = set(asked) - set(names)
    if unknown:
        raise UsageError(f"there is no row {', '.join(sorted(unknown))}; the rows are {' '.join(names)}")
    return list(asked) or names
