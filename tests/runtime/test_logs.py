from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import logging
from dynamo_cli.runtime.logs import configure_logging
configure_logging()
configure_logging()
log = logging.getLogger("a.b")
log.debug("fine")
log.info("known")
log.error("bad")
"""


def run(level: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", SCRIPT], env={"DYN_LOG": level}, capture_output=True, text=True)
    assert done.stdout == ""
    return [line.partition(" ")[2] for line in done.stderr.splitlines()]


def test_lines_go_to_stderr_from_the_level_on() -> None:
    assert run("") == ["INFO a.b: known", "ERROR a.b: bad"]
    assert run("debug") == ["DEBUG a.b: fine", "INFO a.b: known", "ERROR a.b: bad"]
    assert run("error") == ["ERROR a.b: bad"]
