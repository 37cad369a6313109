"""One refreshed line on a terminal about the load under way."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from dynamo_cli.bench.load.log import Log
    from dynamo_cli.bench.workload import Workload

EVERY_S = 0.25
CLEAR = "\r\x1b[K"


class Progress:
    """Writes only to a terminal. `label` says which of several levels this is."""

    def __init__(self, label: str = "", out: TextIO | None = None) -> None:
        self._label = f"{label}  " if label else ""
        self._out = sys.stderr if out is None else out
        self._task: asyncio.Task[None] | None = None

    def follow(self, log: Log, work: Workload) -> None:
        """From now until the event loop ends."""
        if self._out.isatty():
            self._task = asyncio.create_task(self._show(log, work))

    async def _show(self, log: Log, work: Workload) -> None:
        try:
            while True:
                await asyncio.sleep(EVERY_S)
                self._out.write(CLEAR + self._label + line(log, work))
                self._out.flush()
        finally:
            self._out.write(CLEAR)
            self._out.flush()


def line(log: Log, work: Workload) -> str:
    """`120/200  48.1 req/s  2 errors  2.5 s`."""
    done = len(log.records)
    whole = f"/{work.requests}" if work.requests is not None else ""
    limit = f" of {work.duration_s:g}" if work.duration_s is not None else ""
    errors = f"  {log.errors} error{'s' if log.errors != 1 else ''}" if log.errors else ""
    return f"{done}{whole} requests  {done / log.now_s:.1f} req/s{errors}  {log.now_s:.1f}{limit} s"
