"""Whatever the width, nothing is wider than the screen, columns stand under their heads, and the worst is seen."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from dynamo_cli.protocol.measures import ProcessUse, Traffic, Transfers, WorkerMeasures
from dynamo_cli.runtime.control import DeploymentStatus
from dynamo_cli.tui.history import History, spark
from dynamo_cli.tui.panes.columns import COLUMNS, table
from dynamo_cli.tui.panes.detail import detail_lines
from dynamo_cli.tui.panes.gpus import gpu_lines
from dynamo_cli.tui.panes.head import head
from dynamo_cli.tui.panes.titles import log_title
from dynamo_cli.tui.panes.traffic import traffic_lines
from dynamo_cli.tui.panes.trouble import trouble
from tests.tui.scenes import SCENES, deployment, detail, frontend, gpu, traffic, under_load, worker

WIDTHS = [40, 60, 79, 80, 100, 119, 120, 150, 200, 300]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scene", SCENES)
def test_nothing_is_wider_than_the_screen(scene: str, width: int) -> None:
    status = SCENES[scene]().status
    rows = table(status, width)
    lines = [rows.head, *rows.rows, head(status, width, ended=False)]
    lines += trouble(status, gone="", last_words=["x" * 400], width=width)
    for height in (2, 3, 5):
        lines += traffic_lines(status.traffic, History(), width, height)
    for dense in (True, False):
        lines += gpu_lines(status.measured_gpus, width, dense)
    for service in status.services:
        lines += detail_lines(service, detail(service), "0", width)
    marks = ["/a long pattern 17 of 1234", "error and worse", "wrapped"]
    lines += [
        log_title("decode-0", focused=True, following=False, waiting=99, place="line 1 of 9", marks=marks, width=width)
    ]
    assert max(cell_len(line.plain) for line in lines) <= width


@pytest.mark.parametrize("width", WIDTHS[2:])
@pytest.mark.parametrize("scene", SCENES)
def test_columns_stand_under_their_heads(scene: str, width: int) -> None:
    status = SCENES[scene]().status
    drawn = table(status, width)
    titles = drawn.head.plain.split()
    for service, line in zip(status.services, drawn.rows, strict=True):
        for column in [column for column in COLUMNS if column.title in titles]:
            text = column.cell(service, {name.name: str(name.replica) for name in status.services if name.gpus}).text
            begin = drawn.head.plain.index(f" {column.title}") + 1
            at = begin + len(column.title) - len(text) if column.right else begin
            assert line.plain[at : at + len(text)] == text, (column.title, line.plain)


def test_a_narrow_screen_keeps_what_is_told_most() -> None:
    assert table(under_load().status, 78).head.plain.split() == [
        *("SERVICE", "STATE", "GPU", "CPU", "MEM", "RUN/Q", "KV%", "HIT%", "TOK/S", "TTFT"),
    ]
    one_failed = table(SCENES["one-failed"]().status, 78)
    assert one_failed.head.plain.split() == ["SERVICE", "STATE", "RUN/Q", "KV%", "TOK/S", "REASON"]
    assert "out of GPU memory while" in one_failed.rows[-1].plain


def test_what_is_not_known_is_a_dash() -> None:
    bare = frontend(use=None)
    line = table(deployment("READY", [bare, worker(0, use=ProcessUse(cpu=0.0, memory=0))]), 200).rows[0].plain
    assert line.split()[-7:] == ["-"] * 7
    assert "TTFT -" in traffic_lines(None, History(), 120, 3)[0].plain
    assert " - " in gpu_lines([gpu(0, utilization=None, power_w=None)], 120, dense=False)[0].plain
    empty = worker(0, serving=WorkerMeasures())
    assert table(deployment("READY", [empty]), 200).rows[0].plain.split()[-5:] == ["-"] * 5


def test_progress_is_a_bar_and_words() -> None:
    rows = [row.plain for row in table(SCENES["starting"]().status, 120).rows]
    assert "━━━━━━━━── weights 11/14, 19 s" in rows[3]
    assert "━━━━━━──── download 62 %, 40 s" in rows[5]
    assert rows[2].rstrip().endswith("compile, 6 s")


def test_a_deployment_in_short() -> None:
    status = under_load().status
    assert head(status, 60, ended=False).plain == " chat  ● READY  6/6 ready  up 12 min"
    assert head(status, 90, ended=True).plain.startswith(" chat  ■ ENDED")
    assert head(status, 90, ended=False).plain.endswith("http://127.0.0.1:8000/v1 ")
    assert head(DeploymentStatus(deployment="a", state="STARTING"), 80, ended=False).plain.startswith(" a  ◔ STARTING")


def test_disaggregation_and_failures_are_told() -> None:
    moved = Transfers(transfers_s=12.0, bytes_s=3.5 * 2**30)
    told = Traffic(transfers=moved, requests_total=1200, failed_total=3)
    lines = [line.plain for line in traffic_lines(told, History(), 150, 5)]
    assert "KV   12/s, 3.8 GB/s moved" in lines[2]
    assert "all  3 of 1,200 failed" in lines[3]


@pytest.mark.parametrize(
    ("values", "height", "lines"),
    [
        ([], 1, ["    "]),
        ([0, 0], 1, ["    "]),
        ([0, 1, 4, 8], 1, [" ▁▄█"]),
        ([9, 0, 0.001, 4, 8], 1, [" ▁▄█"]),
        ([8, 16], 2, ["   █", "  ██"]),
        ([1, 4, 12, 16], 2, ["  ▄█", "▁▄██"]),
    ],
)
def test_sparklines(values: list[float], height: int, lines: list[str]) -> None:
    assert spark(values, 4, height) == lines


def test_history_is_bounded_and_takes_a_sample_a_second() -> None:
    history = History()
    for tenth in range(20_000):
        history.note(traffic(tenth), tenth / 10)
    kept = history.of("requests_s")
    assert len(kept) == 600
    assert kept[-1] == traffic(19_990).requests_s
    history.note(None, 1e9)
    assert len(history.of("requests_s")) == 600
