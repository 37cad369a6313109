from __future__ import annotations

import argparse
import gzip
import json
import logging
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.bench.traces.read import read_trace
from dynamo_cli.errors import UsageError
from dynamo_cli.frontend.request_trace import tracer as tracer_module
from dynamo_cli.frontend.request_trace.options import NAME, TraceOptions, trace_options
from dynamo_cli.frontend.request_trace.segments import Segments
from dynamo_cli.frontend.request_trace.tracer import Tracer
from dynamo_cli.protocol.instance import ModelIdentity
from dynamo_cli.protocol.kv import block_hashes
from tests.frontend.capture import HELLO
from tests.frontend.following import followed
from tests.frontend.toy import MODEL, Deployment, endless
from tests.runtime.waiting import until

CHAT = "/v1/chat/completions"
ASK = {"model": MODEL, "messages": HELLO, "max_tokens": 5}


def records(directory: Path) -> list[Any]:
    return [
        json.loads(line)
        for file in sorted(directory.glob("*.jsonl.gz"))
        for line in gzip.decompress(file.read_bytes()).splitlines()
    ]


def traced(directory: Path, **options: Any) -> Tracer:
    return Tracer(TraceOptions(directory / "t", **{"flush_s": 0.02, **options}))


async def test_a_record_has_what_replaying_needs_and_no_text(bare: Deployment, tmp_path: Path) -> None:
    tracer = traced(tmp_path)
    async with followed(bare, tracer.ended, service="decode-0") as http:
        answer = await http.post(CHAT, json=ASK, headers={"x-request-id": "mine"})
        await http.post("/v1/completions", json={"model": MODEL, "prompt": ["a" * 70, "b"], "n": 2, "max_tokens": 2})
        await http.post(CHAT, json={"model": "other", "messages": HELLO})
        # Readable while it is still being written.
        await until(lambda: len(records(tmp_path)) == 5)
    tracer.close(5.0)
    first, *four = records(tmp_path)
    prompt = list(b"u:hello;a:")
    assert first["schema"] == "dynamo.request.trace.v1" and first["event_type"] == "request_end"
    request = first["request"]
    assert request["request_id"] == answer.json()["id"] and request["x_request_id"] == "mine"
    counts = ("input_tokens", "output_tokens", "cached_tokens")
    assert [request[name] for name in counts] == [10, 5, 3] and request["model"] == MODEL
    assert 0 < request["ttft_ms"] <= request["total_time_ms"] < 10_000
    assert request["request_received_ms"] <= first["event_time_unix_ms"]
    assert request["worker"]["decode_worker"] == "decode-0" and int(request["worker"]["decode_worker_id"], 16)
    assert request["finish_reason_metadata"] == {"finish_reason": "length"}
    replay = request["replay"]
    assert (replay["trace_block_size"], replay["input_length"]) == (64, len(prompt))
    assert [len(one["request"]["replay"]["input_sequence_hashes"]) for one in four] == [2, 2, 1, 1]
    assert len({one["request"]["request_id"] for one in four}) == 4
    assert "hello" not in json.dumps(records(tmp_path))
    (file,) = tmp_path.glob("*.gz")
    assert file.stat().st_mode & 0o777 == 0o600 and file.name == f"t.{os.getpid()}.000000.jsonl.gz"


async def test_hashes_are_those_of_the_workers_blocks(bare: Deployment, tmp_path: Path) -> None:
    tracer = traced(tmp_path)
    await bare.start()
    await bare.add_worker(identity=ModelIdentity(text_digest="toy", kv_block_size=4))
    bare.frontend.server.on_ended = lambda exchange: tracer.ended(exchange, exchange.about)
    await bare.ready()
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as http:
        ids = [65, 66, 67, 68, 69, 70, 71, 72, 73]
        await http.post("/v1/completions", json={"model": MODEL, "prompt": ids, "max_tokens": 2})
        await http.post("/v1/completions", json={"model": MODEL, "prompt": ids[:8], "max_tokens": 2})
    tracer.close(5.0)
    nine, eight = (record["request"]["replay"] for record in records(tmp_path))
    assert nine["trace_block_size"] == 4
    assert nine["input_sequence_hashes"][:2] == eight["input_sequence_hashes"] == block_hashes(ids, 4)
    assert len(nine["input_sequence_hashes"]) == 3


async def test_text_is_recorded_only_if_asked_for(bare: Deployment, tmp_path: Path) -> None:
    tracer = traced(tmp_path, records=frozenset({"request_payload"}))
    async with followed(bare, tracer.ended) as http:
        await http.post(CHAT, content=b'{\n "model": "org/toy",\n "messages": [{"role": "user", "content": "x"}]}')
        await http.post(CHAT, content=b"{")
    tracer.close(5.0)
    (record,) = records(tmp_path)
    assert record["event_type"] == "request_payload"
    assert record["payload"]["request"]["messages"] == [{"role": "user", "content": "x"}]
    assert record["payload"]["endpoint"] == "openai.chat_completion"


async def test_a_request_that_was_given_up_is_recorded_as_far_as_it_came(bare: Deployment, tmp_path: Path) -> None:
    tracer = traced(tmp_path)
    async with (
        followed(bare, tracer.ended, worker=endless) as http,
        http.stream("POST", CHAT, json={**ASK, "stream": True, "max_tokens": 9999}) as answer,
    ):
        await anext(answer.aiter_bytes())
    await until(lambda: bool(records(tmp_path)))
    tracer.close(5.0)
    (record,) = records(tmp_path)
    assert record["request"]["error"] == "cancelled" and record["request"]["output_tokens"] > 0
    (again,) = read_trace(tmp_path, [])
    assert again.input_length == 10 and again.output_length == record["request"]["output_tokens"]


async def test_what_comes_too_fast_is_dropped_and_said_once(
    bare: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracer_module, "MOST_WAITING", -1)
    tracer = traced(tmp_path)
    async with followed(bare, tracer.ended) as http:
        for _ in range(3):
            assert (await http.post(CHAT, json=ASK)).status_code == 200
    tracer.close(5.0)
    assert tracer.dropped == 3
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 2 and said[1] == "the request trace lacks 3 records"
    assert records(tmp_path) == []


async def test_a_request_without_a_form_is_left_out_alone(
    bare: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def line_of(what: Any) -> bytes:
        if what.request.x_request_id == "bad":
            raise OverflowError
        return b"{}\n"

    monkeypatch.setattr(tracer_module, "line_of", line_of)
    tracer = traced(tmp_path)
    async with followed(bare, tracer.ended) as http:
        for name in ("bad", "bad", "good"):
            assert (await http.post(CHAT, json=ASK, headers={"x-request-id": name})).status_code == 200
    tracer.close(5.0)
    assert records(tmp_path) == [{}] and caplog.text.count("could not be recorded") == 1


async def test_a_full_disk_ends_the_trace_not_the_service(
    bare: Deployment, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracer = Tracer(TraceOptions(tmp_path / "gone" / "t", flush_s=0.01))
    async with followed(bare, tracer.ended) as http:
        for _ in range(3):
            assert (await http.post(CHAT, json=ASK)).status_code == 200
        await until(lambda: "traced no more" in caplog.text)
    tracer.close(1.0)


@given(
    st.lists(st.lists(st.binary(max_size=40).map(lambda b: b.hex().encode() + b"\n"), min_size=1), max_size=6),
    st.integers(1, 60),
)
def test_segments_hold_all_lines_in_order(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]], roll: int
) -> None:
    directory = tmp_path_factory.mktemp("segments")
    segments = Segments(directory / "t", roll)
    for batch in batches:
        segments.write(b"".join(batch))
    segments.close()
    files = sorted(directory.iterdir())
    held = [gzip.decompress(file.read_bytes()) for file in files]
    assert b"".join(held) == b"".join(line for batch in batches for line in batch)
    assert all(len(text) >= roll for text in held[:-1])


def options(given: str | None = None, **environ: str) -> TraceOptions | None:
    return trace_options(argparse.Namespace(request_trace=given), environ)


def test_the_references_variables(tmp_path: Path) -> None:
    assert options() is None and options(DYN_REQUEST_TRACE="0", DYN_REQUEST_TRACE_FILE_PATH="/x") is None
    default = options(DYN_REQUEST_TRACE="1")
    assert default is not None and default.prefix.name == NAME and default.records == {"request_end"}
    assert default == TraceOptions(default.prefix, capacity=1024, buffer_bytes=1 << 20, flush_s=1.0, roll_bytes=1 << 28)
    chosen = options(
        DYN_REQUEST_TRACE="true",
        DYN_REQUEST_TRACE_FILE_PATH=f"{tmp_path}/a/b",
        DYN_REQUEST_TRACE_RECORDS="request_payload,tool",
        DYN_REQUEST_TRACE_CAPACITY="7",
        DYN_REQUEST_TRACE_FILE_FLUSH_INTERVAL_MS="50",
    )
    assert chosen == TraceOptions(tmp_path / "a" / "b", frozenset({"request_payload"}), 7, flush_s=0.05)
    assert (tmp_path / "a").is_dir()
    by_flag = options(f"{tmp_path}/c", DYN_REQUEST_TRACE_FILE_PATH="/nowhere/x")
    assert by_flag is not None and by_flag.prefix == tmp_path / "c"
    for directory in (str(tmp_path), f"{tmp_path}/new/"):
        inside = options(directory)
        assert inside is not None and inside.prefix == Path(directory) / NAME


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("", "maybe", "expected 1 or 0"),
        ("_RECORDS", "request_end,all", "all is none of request_end, request_payload"),
        ("_SINKS", "nats", "only file is available"),
        ("_FILE_FORMAT", "jsonl", "only jsonl_gz is available"),
        ("_CAPACITY", "0", "expected a whole number, 1 or more"),
        ("_FILE_ROLL_BYTES", "1MB", "expected a whole number, 1 or more"),
        ("_FILE_PATH", "/dev/null/x", "cannot make /dev/null: File exists"),
    ],
)
def test_wrong_values_are_named(name: str, value: str, why: str) -> None:
    with pytest.raises(UsageError, match=f"^DYN_REQUEST_TRACE{name}={value}: {why}"):
        options(**{"DYN_REQUEST_TRACE": "1", f"DYN_REQUEST_TRACE{name}": value})
