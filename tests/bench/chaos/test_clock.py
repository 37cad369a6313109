from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dynamo_cli.bench.chaos.clock import Clock
from dynamo_cli.bench.chaos.skipped import Skipped

TELL = "import sys, time\nfor _ in sys.stdin: print(time.time(), time.monotonic(), flush=True)"


def test_only_the_wall_clock_of_its_processes_jumps(tmp_path: Path) -> None:
    try:
        clock = Clock(tmp_path)
    except Skipped as skipped:
        pytest.skip(str(skipped))
    command, environ = [sys.executable, "-c", TELL], os.environ | clock.environ
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin
        assert child.stdout
        for offset in (0, 3600, -3600):
            clock.jump(offset)
            child.stdin.write("\n")
            child.stdin.flush()
            wall, monotonic = map(float, child.stdout.readline().split())
            assert abs(wall - time.time() - offset) < 60
            assert abs(monotonic - time.monotonic()) < 60
        child.stdin.close()
