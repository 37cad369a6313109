"""The directory of a result: written whole or not at all, read back as it was."""

from __future__ import annotations

import csv
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.bench.report import Point, Run, Summary, make_report, read_results, write_results
from dynamo_cli.bench.report.csv_table import columns
from dynamo_cli.errors import ResourceMissing, UsageError
from tests.bench.records import made, report, summary

FILES = ["report.html", "requests.jsonl", "summary.csv", "summary.json"]


def result() -> tuple[Summary, dict[str, list[RequestRecord]]]:
    by_label = {"c=1": made(1, 30), "c=2": made(2, 40, failing=0.2)}
    points = [Point(label=label, report=report(records), concurrency=1) for label, records in by_label.items()]
    return summary(points), by_label


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written, by_label = result()
    write_results(tmp_path / "new" / "place", written, by_label)
    assert sorted(os.listdir(tmp_path / "new" / "place")) == FILES
    for path in (tmp_path / "new" / "place", tmp_path / "new" / "place" / "summary.json"):
        read = read_results(path)
        assert read.summary == written
        expected = [msgspec.structs.replace(r, point=label) for label, rs in by_label.items() for r in rs]
        assert list(read.records()) == expected


def test_a_report_can_be_made_again_from_its_requests(tmp_path: Path) -> None:
    written, by_label = result()
    write_results(tmp_path, written, by_label)
    for point in written.points:
        figures = point.report
        run = Run(
            url=figures.url,
            model=figures.model,
            concurrency=figures.concurrency,
            stream=figures.stream,
            duration_s=max(r.end_ms for r in by_label[point.label]) / 1e3,
            client_cpu_s=figures.client_cpu_s,
            processes={},
        )
        records = [record for record in read_results(tmp_path).records() if record.point == point.label]
        assert make_report(run, records) == figures


def test_the_csv_has_a_row_per_level_and_always_the_same_columns(tmp_path: Path) -> None:
    written, by_label = result()
    write_results(tmp_path, written, by_label)
    with (tmp_path / "summary.csv").open() as file:
        head, *rows = csv.reader(file)
    assert head == columns() and len(set(head)) == len(head)
    assert {"label", "requests_per_s", "ttft_ms_p50", "ttft_ms_p999", "slo_met", "failed"} <= set(head)
    cells = [dict(zip(head, row, strict=True)) for row in rows]
    assert [row["label"] for row in cells] == ["c=1", "c=2"]
    assert float(cells[1]["ttft_ms_p99"]) == written.points[1].report.ttft_ms.p99  # type: ignore[union-attr]
    assert cells[0]["goodput_share"] == ""


def test_a_later_result_replaces_an_earlier_one(tmp_path: Path) -> None:
    written, by_label = result()
    write_results(tmp_path, written, by_label)
    fewer = summary(written.points[:1])
    write_results(tmp_path, fewer, {"c=1": by_label["c=1"]})
    assert read_results(tmp_path).summary == fewer
    assert len(list(read_results(tmp_path).records())) == 30
    assert sorted(os.listdir(tmp_path)) == FILES


def test_a_place_that_cannot_be_a_directory_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceMissing, match=f"cannot create {tmp_path}/file/out: Not a directory"):
        write_results(tmp_path / "file" / "out", *result())


def test_a_full_disk_leaves_the_earlier_result(tmp_path: Path) -> None:
    write_results(tmp_path, *result())
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    code = """
import resource, sys
from tests.bench.test_report_files import result
from dynamo_cli.bench.report import write_results
from dynamo_cli.errors import ResourceMissing
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
try:
    write_results(sys.argv[1], *result())
except ResourceMissing as error:
    print(error.exit_code, error)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == f"4 cannot write {tmp_path}/requests.jsonl: File too large\n"
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "cannot read .*summary.json: No such file or directory; expected a directory of `dynamo bench`"),
        ("not json", "is not a benchmark's summary"),
        ('{"created": 1}', "is not a benchmark's summary: .*`mode`"),
    ],
)
def test_what_is_no_result_is_one_line(tmp_path: Path, content: str | None, line: str) -> None:
    if content is not None:
        (tmp_path / "summary.json").write_text(content)
    with pytest.raises(UsageError, match=line):
        read_results(tmp_path)


def test_a_summary_of_another_version_is_refused(tmp_path: Path) -> None:
    write_results(tmp_path, *result())
    path = tmp_path / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))
    with pytest.raises(UsageError, match="has schema version 99, this dynamo reads 1"):
        read_results(path)


def test_a_line_that_is_no_request_is_named(tmp_path: Path) -> None:
    write_results(tmp_path, *result())
    path = tmp_path / "requests.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:4], b"{}\n", *lines[4:]]))
    with pytest.raises(UsageError, match=r"requests.jsonl:5: not a request of a benchmark"):
        list(read_results(tmp_path).records())


def test_a_summary_alone_has_no_requests(tmp_path: Path) -> None:
    write_results(tmp_path, *result())
    (tmp_path / "requests.jsonl").unlink()
    read = read_results(tmp_path)
    assert read.requests is None
    assert list(read.records()) == []


def test_writing_many_requests_holds_none_of_them_twice(tmp_path: Path) -> None:
    """Peak memory grows by much less than the file that is written."""
    records = made(1, 4000, tokens=128)
    written = summary([Point(label="c=1", report=report(records), concurrency=1)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    write_results(tmp_path, written, {"c=1": records})
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < (tmp_path / "requests.jsonl").stat().st_size
