"""The command line: a table, or JSON, on stdout; why something was left out on stderr."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence

import msgspec

from dynamo_cli.bench.transfer.measure import Row, measure
from dynamo_cli.disagg.transfer.base import TransferKind
from dynamo_cli.disagg.transfer.nixl_agent import INSTALL
from dynamo_cli.errors import DynamoError, UsageError
from dynamo_cli.runtime.loop import run

MIB = 1 << 20
SIZES = (MIB // 4, 4 * MIB, 64 * MIB)
MOST_BYTES = 512 * MIB
HEADER = ("transfer", "size", "ms a fetch", "GiB/s", "CPU-s/GiB offering", "fetching")


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        if arguments.runs < 1:
            raise UsageError("--runs must be at least 1")
        rounds, most_bytes = (1, 64 * MIB) if arguments.quick else (arguments.runs, MOST_BYTES)
        rows = run(measure(_kinds(), SIZES, rounds, most_bytes))
    except DynamoError as error:
        sys.stderr.write(f"dynamo: {error}\n")
        return error.exit_code
    sys.stdout.write(msgspec.json.encode(rows).decode() + "\n" if arguments.json else as_table(rows))
    return 0


def as_table(rows: Sequence[Row]) -> str:
    cells = [HEADER, *map(_cells, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADER))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join([*lines, ""])


def _cells(row: Row) -> tuple[str, ...]:
    size = f"{row.size / MIB:g} MiB"
    cpu = f"{row.offering_cpu_s_per_gib:.2f}", f"{row.fetching_cpu_s_per_gib:.2f}"
    return (row.transfer, size, f"{row.ms:.2f}", f"{row.gib_per_s:.2f}", *cpu)


def _kinds() -> list[TransferKind]:
    if importlib.util.find_spec("nixl") is not None:
        return ["tcp", "nixl"]
    sys.stderr.write(f"nixl is left out: it is not installed; run `{INSTALL}`\n")
    return ["tcp"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-transfer", description="Measure what it costs to move KV.")
    parser.add_argument("--runs", type=int, default=5, help="rounds; the median counts (default 5)")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--json", action="store_true", help="print only JSON")
    return parser
