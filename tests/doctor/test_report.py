from __future__ import annotations

import io
import json

from rich.console import Console

from dynamo_cli.doctor.check import Check, error, ok, skipped, warn
from dynamo_cli.doctor.examine import Group
from dynamo_cli.doctor.machine import Asked
from dynamo_cli.doctor.report import as_json, failed, plain, problems_only, rich_group, summary

GROUPS = [
    Group("system", [ok("os", "Linux"), warn("cpu", "slow", "buy another")]),
    Group("gpus", [skipped("driver", "none"), error("gpu-0", "lost", "reboot")]),
]


def test_plain_lines() -> None:
    assert list(plain(GROUPS[0])) == [
        "system",
        "  ok     os                    Linux",
        "  warn   cpu                   slow",
        "         fix: buy another",
    ]


def test_terse_is_what_is_wrong() -> None:
    assert [check.name for group in GROUPS for check in problems_only(group).checks] == ["cpu", "gpu-0"]


def test_summary_and_failure() -> None:
    assert summary(GROUPS) == "1 ok, 1 warning, 1 error, 1 skipped"
    assert summary([Group("a", [ok("b", "c")] * 2)]) == "2 ok, 0 warnings, 0 errors"
    assert failed(GROUPS)
    assert not failed(GROUPS[:1])


def test_json() -> None:
    told = json.loads(as_json(GROUPS, Asked(topology="x.toml")))
    assert (told["ok"], told["topology"], told["thorough"]) == (False, "x.toml", False)
    assert told["counts"] == {"ok": 1, "warn": 1, "error": 1, "skipped": 1}
    assert told["checks"][1] == {
        "group": "system",
        "name": "cpu",
        "status": "warn",
        "detail": "slow",
        "fix": "buy another",
    }
    terse = json.loads(as_json(GROUPS, Asked(), terse=True))
    assert [check["name"] for check in terse["checks"]] == ["cpu", "gpu-0"]
    assert terse["counts"] == told["counts"]


def test_a_terminal_folds_long_lines_under_themselves() -> None:
    out = io.StringIO()
    long = Group("system", [Check("os", "warn", "word " * 30, "do [bold]this[/bold]")])
    Console(file=out, width=60, force_terminal=True, no_color=True, highlight=False).print(rich_group(long))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) < 80
    assert all(line.startswith(" " * 29) for line in lines[2:]), lines
    assert "fix: " in lines[-1] and "do [bold]this[/bold]" in lines[-1]
