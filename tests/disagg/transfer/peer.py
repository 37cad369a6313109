"""A worker of its own process that offers bytes: `python -m tests.disagg.transfer.peer KIND SIZE...`.

Prints one ticket a line as JSON, and lives until its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from dynamo_cli.disagg.transfer.open import open_transfer
from tests.disagg.transfer.patterns import pattern


async def main() -> None:
    kind, *sizes = sys.argv[1:]
    transfer = open_transfer(kind)  # type: ignore[arg-type]
    await transfer.start()
    for size in sizes:
        ticket = transfer.offer(pattern(int(size)))
        print(msgspec.json.encode(ticket).decode(), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await transfer.close()


if __name__ == "__main__":
    asyncio.run(main())
