"""The process that offers: `python -m dynamo_cli.bench.transfer.offerer KIND`.

Each line on stdin is a size; the answer is a line of JSON (`Answer`): a ticket for so many bytes, always the same
memory, and the CPU seconds of this process until then. It lives until stdin ends.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import cast

import msgspec

from dynamo_cli.disagg.transfer.base import Ticket, TransferKind
from dynamo_cli.disagg.transfer.open import open_transfer
from dynamo_cli.runtime.loop import run


class Answer(msgspec.Struct):
    ticket: Ticket
    cpu_s: float


async def serve(kind: TransferKind) -> None:
    loop = asyncio.get_running_loop()
    transfer = open_transfer(kind)
    await transfer.start()
    memory: dict[int, bytes] = {}
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        size = int(line)
        if size not in memory:
            memory[size] = b"\xab" * size
        ticket = transfer.offer(memory[size])
        sys.stdout.write(msgspec.json.encode(Answer(ticket, time.process_time())).decode() + "\n")
        sys.stdout.flush()
    await transfer.close()


if __name__ == "__main__":
    run(serve(cast(TransferKind, sys.argv[1])))
