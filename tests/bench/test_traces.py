from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.bench.traces.read import read_trace
from dynamo_cli.bench.traces.request import TracedRequest
from dynamo_cli.bench.work.trace import Trace
from dynamo_cli.errors import UsageError


def end(received_ms: int, length: int = 100, output: int = 7, hashes: list[int] | None = None, **more: Any) -> str:
    replay = {
        "trace_block_size": 64,
        "input_length": length,
        "input_sequence_hashes": list(range(-(-length // 64))) if hashes is None else hashes,
    }
    request = {
        "request_id": "r",
        "model": "m",
        "request_received_ms": received_ms,
        "output_tokens": output,
        "replay": replay,
    }
    record = {"schema": "dynamo.request.trace.v1", "event_type": "request_end", "request": request}
    return json.dumps(record | more) + "\n"


def member(*lines: str) -> bytes:
    return gzip.compress("".join(lines).encode())


def read(path: Path) -> tuple[list[TracedRequest], list[str]]:
    notes: list[str] = []
    return list(read_trace(path, notes)), notes


def test_segments_are_read_together_in_the_order_of_their_requests(tmp_path: Path) -> None:
    (tmp_path / "t.7.000000.jsonl.gz").write_bytes(member(end(9_000), end(5_000)) + member(end(7_000, 64)))
    (tmp_path / "t.8.000000.jsonl.gz").write_bytes(member(end(6_000, output=0)))
    (tmp_path / "t.8.000001.jsonl").write_text(end(8_500))
    (tmp_path / "notes.txt").write_text("not ours")
    found, notes = read(tmp_path)
    assert [request.timestamp_s for request in found] == [0, 1, 2, 3.5, 4] and notes == []
    assert [list(request.blocks) for request in found[:3]] == [[0, 1], [0, 1], [0]]
    assert {(request.block_size, request.model) for request in found} == {(64, "m")}
    assert Trace(tmp_path, start_s=1, end_s=3).count() == 2


def test_what_other_records_and_sessions_say(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    tool = '{"schema": "dynamo.request.trace.v1", "event_type": "tool_end", "tool": {}}\n'
    bare = '{"schema": "dynamo.request.trace.v1", "event_type": "request_end", "request": {"request_received_ms": 3}}\n'
    file.write_text(tool + end(1, agent_context={"session_id": "s"}) + bare)
    found, notes = read(file)
    assert [request.session for request in found] == ["s"]
    assert notes == ["1 requests whose length was not recorded are left out"]


@given(st.data())
def test_a_trace_cut_off_anywhere_gives_what_is_whole(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    lines = [end(at * 1000, 64 * at + 1) for at in range(6)]
    members = member(*lines[:3]), member(lines[3]), member(*lines[4:])
    whole = b"".join(members)
    file = tmp_path_factory.mktemp("cut") / "t.jsonl.gz"
    at = data.draw(st.integers(0, len(whole)))
    file.write_bytes(whole[:at])
    found, notes = read(file)
    assert [request.input_length for request in found] == [64 * n + 1 for n in range(len(found))]
    written = [sum(map(len, members[:count])) for count in range(4)]
    sure = sum(count for size, count in zip(written[1:], (3, 1, 2), strict=True) if at >= size)
    assert len(found) >= sure
    assert bool(notes) == (at not in written)


def test_damage_is_noted_and_what_was_before_it_is_used(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl.gz"
    file.write_bytes(member(end(0)) + b"not gzip at all" + member(end(1)))
    found, (note,) = read(file)
    assert len(found) == 1 and note.startswith(f"{file} is damaged, and what follows is left out")


def test_a_plain_file_may_lack_the_end_of_its_last_line(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text(end(0) + end(1)[:-20])
    found, notes = read(file)
    assert len(found) == 1 and notes == [f"the last line of {file} was cut off and is left out"]


def test_mooncakes_format_may_be_compressed(tmp_path: Path) -> None:
    line = '{"timestamp": 1500, "input_length": 600, "output_length": 5, "hash_ids": [1, 2], "session_id": "s"}'
    file = tmp_path / "t.jsonl.gz"
    file.write_bytes(gzip.compress(line.encode()))
    (found,), notes = read(file)
    assert found == TracedRequest(1.5, 600, 5, [1, 2], 512, session="s") and notes == []


def test_prompts_share_what_their_blocks_share(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text(end(0, 150, hashes=[11, 12, 13]) + end(1000, 140, hashes=[11, 12, 99]))
    first, second = (
        " ".join(part for turn in conversation.turns for part in turn.parts).split()
        for conversation in Trace(file).conversations()
    )
    assert (len(first), len(second)) == (150, 140)
    assert first[:128] == second[:128] and first[128:140] != second[128:]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (end(0) + "{\n" + end(1), ":2: Input data was truncated"),
        (end(0) + '{"schema": "other.v2"}\n', ":2: schema 'other.v2' is not dynamo.request.trace.v1"),
        (end(0, 64, hashes=[1, 2]), ":1: 2 hash_ids of 64 tokens are more than input_length 64"),
        (end(0, output=-1), ":1: output_length -1 is negative"),
        (end(0).replace('"trace_block_size": 64', '"trace_block_size": 0'), ":1: a block size of 0 tokens is not at"),
    ],
)
def test_a_broken_record_is_named(tmp_path: Path, lines: str, fault: str) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text(lines)
    with pytest.raises(UsageError) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file}{fault}")


def test_hashes_told_with_a_sign_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(end(0, 128, hashes=[-1, 2]) + end(1, 128, hashes=[2**64 - 1, 3]))
    (first, second), _ = read(tmp_path / "t.jsonl")
    assert list(first.blocks) == [2**64 - 1, 2] and first.blocks[0] == second.blocks[0]


def test_a_directory_must_hold_a_request_trace(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no \.jsonl or \.jsonl\.gz file"):
        read(tmp_path)
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text('{"timestamp": 1, "input_length": 6, "output_length": 5}\n')
    with pytest.raises(UsageError, match=r"a\.jsonl is no request trace; name one file"):
        read(tmp_path)
