"""Why a deployment failed, on one screen."""

from __future__ import annotations

from typing import Any

import pytest

from dynamo_cli.runtime.control import DeploymentStatus, ServiceStatus
from dynamo_cli.supervisor.launch.complaint import explained
from dynamo_cli.supervisor.traces import without_frames

TRACE = """\
INFO loading

Traceback (most recent call last):
  File "/usr/lib/engine.py", line 10, in main
    start()
    ~~~~~^^
  File "/home/me/mine.py", line 3, in start
    import helper
ModuleNotFoundError: No module named 'helper'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/usr/lib/engine.py", line 12, in main
    raise RuntimeError("it failed")
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
RuntimeError: it failed
ERROR gone""".splitlines()


def rows(text: str, columns: int) -> int:
    return sum(max(1, -(-len(line) // columns)) for line in text.splitlines())


def told(lines: list[str], columns: int = 80, height: int = 24, reason: str = "exited", **facts: Any) -> list[str]:
    failed = ServiceStatus(name="decode-0", kind="worker", **facts)
    words = f"decode-0: {reason}"
    status = DeploymentStatus(deployment="agg", state="FAILED", reason=words, topology="agg.toml", services=[failed])
    text = explained(status, failed, lines, columns, height)
    assert rows(text, columns) <= height - 2 or len(lines) <= 3
    return text.splitlines()


def test_a_traceback_is_its_last_frame_and_its_error() -> None:
    assert without_frames(TRACE) == [
        "INFO loading",
        '  File "/home/me/mine.py", line 3, in start',
        "    import helper",
        "ModuleNotFoundError: No module named 'helper'",
        '  File "/usr/lib/engine.py", line 12, in main',
        '    raise RuntimeError("it failed")',
        "RuntimeError: it failed",
        "ERROR gone",
    ]


def test_one_that_is_not_over_shows_where_it_is() -> None:
    assert without_frames(TRACE[:5]) == ["INFO loading", *TRACE[3:5]]
    assert without_frames(["  indented", "", "\t", "plain"]) == ["  indented", "plain"]


def test_which_service_why_what_helps_and_what_next() -> None:
    lines = told(["first", "last"], hint="no memory: less of it", evidence="/e/decode-0-1")
    assert lines == [
        "dynamo: deployment agg failed: decode-0: exited",
        "dynamo: hint: no memory: less of it",
        "dynamo: evidence in /e/decode-0-1",
        "dynamo: next: `dynamo logs --crash decode-0 -d agg` shows more, `dynamo doctor agg.toml` looks for causes",
        "decode-0 | first",
        "decode-0 | last",
    ]
    assert "`dynamo logs decode-0 -d agg` shows more" in told([])[1]
    assert not any("hint" in line for line in told([], reason="exited: no memory: do", hint="no memory: do"))


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("length", [10, 90, 1000])
def test_all_of_it_fits_the_screen(columns: int, length: int) -> None:
    noise = [f"{number} {'x' * length}" for number in range(60)]
    for reason in ("exited", "exited " + "y" * 500):
        lines = told(noise, columns, reason=reason, evidence="/e/" + "z" * 90)
        shown = [line for line in lines if line.startswith("decode-0 | ")]
        assert 3 <= len(shown) <= 8 and shown[-1].startswith("decode-0 | 59 ")
        assert all(line.endswith("…") == (length == 1000) for line in shown)


def test_a_long_line_that_the_reason_has_is_not_cut_and_told_again() -> None:
    long = "ModuleNotFoundError: " + "x" * 100
    assert not any(line.startswith("decode-0 |") for line in told([long], reason=f"exited with code 5: {long}"))
    assert told(["short"], reason="exited with code 5: short")[-1] == "decode-0 | short"
