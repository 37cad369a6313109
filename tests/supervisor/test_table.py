"""The table of a terminal: steady columns, one line per service, less when there is less room."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from dynamo_cli.logs.tail import Line
from dynamo_cli.protocol.measures import ProcessUse, Traffic, WorkerMeasures
from dynamo_cli.runtime.control import DeploymentStatus, ServiceStatus
from dynamo_cli.supervisor import table
from dynamo_cli.supervisor.view import PlainView, RichView, open_view

REASON = "last exit: killed by SIGKILL, and so on for longer than any terminal is wide " * 3


def status(**decode: object) -> DeploymentStatus:
    facts = {"kind": "worker", "engine": "mock", "pid": 1234567, "state": "READY", "reason": REASON, **decode}
    services = [
        ServiceStatus(name="frontend-0", kind="frontend", state="READY", ready=True, pid=99),
        ServiceStatus(name="decode-0", **facts),  # type: ignore[arg-type]
    ]
    return DeploymentStatus(deployment="agg", state="DEGRADED", reason=REASON, services=services)


def shown(found: DeploymentStatus, width: int, one_line: bool) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(table.rich_table(found, width, one_line=one_line))
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("width", [40, 50, 80, 120, 200])
def test_a_service_is_one_line_with_its_whole_name_state_and_pid(width: int) -> None:
    head, titles, frontend, decode = shown(status(), width, one_line=True)
    assert len(head) <= width and head.endswith("…")
    assert titles.split()[:1] == ["NAME"] and titles.split()[-1] == "REASON"
    assert frontend.startswith("frontend-0  ") and "READY" in frontend
    assert len(decode) <= width and decode.endswith("…")
    assert "decode-0" in decode and "1234567" in decode


def test_status_tells_the_whole_reason() -> None:
    words = "".join("".join(line[40:] for line in shown(status(), 80, one_line=False)).split())
    assert "onforlongerthananyterminaliswide" in words


def test_columns_stay_where_they_are() -> None:
    before = shown(status(reason=""), 80, one_line=True)[1]
    lost = shown(status(state="BACKOFF", pid=None, reason="killed by SIGKILL"), 80, one_line=True)[1]
    assert before == lost
    assert "KIND" in before and "PORTS/GPUS" not in before


def test_ports_are_shown_where_there_are_any_and_room() -> None:
    assert "http=99" in shown(status(ports={"http": 99}), 120, one_line=True)[3]


def test_a_terminal_gets_the_colour_on_the_name_only() -> None:
    out = io.StringIO()
    view = RichView(["decode-0"], Console(file=out, width=80, force_terminal=True, color_system="standard"))
    view.line(Line("decode-0", "plain"))
    view.status(status(state="DRAINING"))
    view.close()
    assert "\x1b[36mdecode-0   │ \x1b[0mplain" in out.getvalue()


@pytest.mark.parametrize(("term", "kind"), [("xterm-256color", RichView), ("dumb", PlainView)])
def test_a_terminal_that_cannot_redraw_gets_plain_lines(term: str, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", terminal)
    view = open_view(["decode-0"], as_json=False)
    view.close()
    assert isinstance(view, kind)


def test_whoever_stops_it_is_told_how_to_stop_it_at_once() -> None:
    out = io.StringIO()
    view = RichView(["decode-0"], Console(file=out, width=80))
    for _ in range(2):
        view.status(DeploymentStatus(deployment="agg", state="STOPPING"))
    view.close()
    assert out.getvalue().count("Ctrl-C again ends it at once") == 1


def measured() -> DeploymentStatus:
    found = status(reason="")
    found.reason, found.traffic = "", Traffic(requests_total=9, requests_s=1.5, output_tokens_s=96.0)
    for service in found.services:
        service.use = ProcessUse(cpu=0.42, memory=76_000_000)
    found.services[1].serving = WorkerMeasures(running=2, waiting=1, output_tokens_s=96.0, hit=0.5)
    return found


def test_measures_are_shown_where_there_is_room() -> None:
    wide = shown(measured(), 160, one_line=True)
    assert wide[1] == "1.5 req/s  96 tok/s  0 in flight"
    assert {"CPU", "MEM", "RUN/WAIT", "TOK/S", "HIT"} <= set(wide[2].split())
    assert "TTFT" not in wide[2] and "KV" not in wide[2]
    assert "42%" in wide[4] and "76 MB" in wide[4] and "2/1" in wide[4] and "50%" in wide[4]
    narrow = shown(measured(), 80, one_line=True)
    assert narrow[2].split() == ["NAME", "KIND", "STATE", "PID", "UPTIME", "RESTARTS", "REASON"]
    assert max(map(len, narrow)) <= 80


def test_a_pipe_has_all_of_the_state_and_measures_as_far_as_there_is_room() -> None:
    assert table.plain(measured(), 80).splitlines()[3].split() == list(table.COLUMNS)
    wide = table.plain(measured(), 160).splitlines()
    assert wide[3].split() == [*table.COLUMNS[:-2], "CPU", "MEM", "RUN/WAIT", "TOK/S", "HIT", *table.COLUMNS[-2:]]
    assert max(map(len, wide)) <= 160
