"""`python -m tests.tui.flood [--lines-s N] [--seconds S]`: a log that floods, and how the UI bears it. `make flood`.

A process of its own writes lines into the log of a worker; keys are pressed meanwhile, and the time until the screen
shows what they do is taken. Memory is that of the UI's process, after its buffers have filled.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from dynamo_cli.logs.files import log_file
from tests.tui.scenes import under_load
from tests.tui.screen import Shown, showing

WRITER = """
import sys, time
from dynamo_cli.logs.rotating import RotatingLog
from pathlib import Path
rate, log = float(sys.argv[2]), RotatingLog(Path(sys.argv[1]), max_bytes=64 << 20, keep=1, compress=lambda path: None)
began, written, text = time.monotonic(), 0, "INFO engine: step %d of a flood of lines, " + "x" * 40 + "\\n"
while True:
    due = int((time.monotonic() - began) * rate) - written
    log.write("".join(text % (written + i) for i in range(due)).encode())
    written += due
    time.sleep(0.01)
"""
PRESS_EVERY_S = 0.25
FULL_AFTER = 1.5
"""Times the lines that are kept, before memory is looked at."""


class Measured(NamedTuple):
    """`keys_ms`: until each key showed. `cpu`: cores that the UI used.

    `held`: bytes of its memory at the end; `grown`: how many of them since its buffers were full.
    """

    lines: int
    keys_ms: list[float]
    cpu: float
    held: int
    grown: int

    @property
    def words(self) -> str:
        middle, worst = statistics.median(self.keys_ms), max(self.keys_ms)
        return (
            f"{self.lines:,} lines; {len(self.keys_ms)} keys, {middle:.0f} ms in the middle, {worst:.0f} ms at worst; "
            f"{self.cpu:.2f} cores; {self.held / 2**20:.0f} MiB, {self.grown / 2**20:+.1f} MiB since its buffers "
            "were full"
        )


@contextmanager
def writing(path: Path, lines_s: float) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(lines_s)]) as writer:
        try:
            yield
        finally:
            writer.kill()


async def measure(lines_s: float, seconds: float) -> Measured:
    deployment = under_load().begin()
    process = psutil.Process()
    async with showing(deployment) as shown:
        await shown.until(lambda: shown.app._services.selected)
        with writing(log_file(deployment.paths, "decode-0"), lines_s):
            await shown.until(lambda: shown.app._logs.pane.lines >= 10_000, "full buffers")
            began, used = time.monotonic(), time.process_time()
            keys_ms, ends = [], began + seconds
            full_at, full = began + FULL_AFTER * 20_000 / lines_s, 0
            while time.monotonic() < ends:
                keys_ms.append(await one_key(shown))
                if not full and time.monotonic() > full_at:
                    full = process.memory_info().rss
                await asyncio.sleep(PRESS_EVERY_S)
            held = process.memory_info().rss
            cpu = (time.process_time() - used) / (time.monotonic() - began)
            return Measured(int(lines_s * seconds), keys_ms, cpu, held, held - (full or held))


async def one_key(shown: Shown) -> float:
    """Milliseconds until `w` shows that lines are folded, or not any more."""
    began = time.monotonic()
    wanted = "wrapped" not in shown.title
    shown.app.simulate_key("w")
    while ("wrapped" in shown.title) is not wanted:
        await asyncio.sleep(0.001)
        assert time.monotonic() < began + 5
    return (time.monotonic() - began) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines-s", type=float, default=10_000.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["DYNAMO_HOME"] = os.environ["XDG_RUNTIME_DIR"] = home
        print(asyncio.run(measure(asked.lines_s, asked.seconds)).words)


if __name__ == "__main__":
    main()
