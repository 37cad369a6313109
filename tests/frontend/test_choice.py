"""The same text and the same usage, whatever pieces the tokens come in."""

from __future__ import annotations

import asyncio
import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.frontend.answer import Answer, StreamedAnswer, WholeAnswer
from dynamo_cli.frontend.careful import Care, CarefulChoice
from dynamo_cli.frontend.choice import Choice
from dynamo_cli.frontend.flush import Flusher
from dynamo_cli.frontend.formats import CompletionFormat
from dynamo_cli.frontend.metrics.counts import ModelCounts, Tracker
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage
from dynamo_cli.runtime.http.exchange import Exchange
from dynamo_cli.runtime.http.request import Request
from dynamo_cli.text.bundle import TextBundle, load_bundle
from dynamo_cli.text.detokenizer import Detokenizer
from dynamo_cli.text.stops import StopStrings
from tests.frontend.toy import write_bundle


@functools.cache
def bundle() -> TextBundle:
    with tempfile.TemporaryDirectory() as directory:
        return load_bundle(write_bundle(Path(directory) / "bundle"))


class Wire:
    """Stands for the connection: remembers what was written."""

    draining = False
    on_ended = None

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def completed(self, exchange: Exchange) -> None: ...

    @property
    def events(self) -> list[Any]:
        """The JSON of every event, without the end marker."""
        lines = [line for line in self.data.decode().split("\n") if line.startswith("data: ")]
        assert lines.pop() == "data: [DONE]"
        return [json.loads(line[6:]) for line in lines]


def answer_of(wire: Wire, stream: bool, counts: ModelCounts) -> Answer:
    exchange = Exchange(wire, Request("POST", "/", {}, "1.1", False))  # type: ignore[arg-type]
    tracker, form = Tracker(counts, "completions", stream), CompletionFormat("m")
    if stream:
        return StreamedAnswer(exchange, form, tracker, Flusher(), include_usage=True)
    return WholeAnswer(exchange, form, tracker, Flusher())


async def generated(
    text: str, cuts: list[int], together: list[bool], stop: str | None, stream: bool
) -> tuple[str, str, dict[str, Any]]:
    """(text, finish reason, usage) of an answer whose tokens are cut at `cuts`, some frames read together."""
    ids = bundle().tokenizer.encode(text)
    wire, counts = Wire(), ModelCounts()
    answer = answer_of(wire, stream, counts)
    request = EngineRequest("m", token_ids=[1, 2, 3])
    choice = Choice(answer, 0, request, Detokenizer(bundle().tokenizer), StopStrings([stop]) if stop else None)
    answer.add(choice)
    for cut, joined in zip([*cuts, len(ids)], [*together, True] * len([*cuts, 0]), strict=False):
        piece, ids = ids[:cut], ids[cut:]
        choice.on_frame([Delta(piece)])
        if not joined:
            await asyncio.sleep(0)
    choice.on_frame([Delta(ids, "stop")])
    choice.on_end()
    await asyncio.sleep(0)
    assert (counts.inflight, counts.queued, sum(counts.finished.values())) == (0, 0, 1)
    if not stream:
        body = json.loads(wire.data.partition(b"\r\n\r\n")[2])
        return body["choices"][0]["text"], body["choices"][0]["finish_reason"], body["usage"]
    *events, last = wire.events
    reason = events[-1]["choices"][0]["finish_reason"]
    return "".join(event["choices"][0]["text"] for event in events), reason, last["usage"]


@pytest.mark.parametrize("stream", [True, False])
@given(
    text=st.text(st.sampled_from("ab☂é🦀 "), min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 6), max_size=40),
    together=st.lists(st.booleans(), max_size=40),
    stop=st.none() | st.text(st.sampled_from("ab☂ "), min_size=1, max_size=3),
)
def test_any_cut_gives_the_same_text(
    stream: bool, text: str, cuts: list[int], together: list[bool], stop: str | None
) -> None:
    shown, reason, usage = asyncio.run(generated(text, cuts, together, stop, stream))
    assert shown == (text.split(stop)[0] if stop else text)
    assert reason == "stop"
    assert usage["prompt_tokens"] == 3
    if not stop or stop not in text:
        assert usage["completion_tokens"] == len(bundle().tokenizer.encode(text))


async def test_the_engines_own_usage_counts() -> None:
    wire = Wire()
    answer = answer_of(wire, True, ModelCounts())
    choice = Choice(answer, 0, EngineRequest("m", token_ids=[1]), Detokenizer(bundle().tokenizer), None)
    answer.add(choice)
    choice.on_frame([Delta([70], "length", usage=EngineUsage(30, 8, 16))])
    await asyncio.sleep(0)
    usage = wire.events[-1]["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (30, 8, 38)
    assert usage["prompt_tokens_details"] == {"cached_tokens": 16}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("careful", [True, False])
async def test_an_answer_that_a_stop_string_cuts_off_tells_what_was_cached(stream: bool, careful: bool) -> None:
    wire, counts = Wire(), ModelCounts()
    answer = answer_of(wire, stream, counts)
    kind = functools.partial(CarefulChoice, care=Care(), alignment=None) if careful else Choice
    detokenizer = Detokenizer(bundle().tokenizer)
    choice = kind(answer, 0, EngineRequest("m", token_ids=[1, 2, 3]), detokenizer, StopStrings(["b"]))
    answer.add(choice)
    a, b = bundle().tokenizer.encode("ab")
    choice.on_frame([Delta([a], cached_tokens=2), Delta([a])])
    await asyncio.sleep(0)
    choice.on_frame([Delta([b])])
    await asyncio.sleep(0)
    body = wire.events[-1] if stream else json.loads(wire.data.partition(b"\r\n\r\n")[2])
    assert body["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}
    assert body["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("stream", [True, False])
async def test_what_cannot_be_told_ends_its_own_answer_and_no_other(stream: bool) -> None:
    flusher, counts, wires = Flusher(), ModelCounts(), [Wire(), Wire()]
    for wire, token in zip(wires, (-1, 70), strict=True):
        answer = answer_of(wire, stream, counts)
        answer.flusher = flusher
        choice = Choice(answer, 0, EngineRequest("m", token_ids=[1]), Detokenizer(bundle().tokenizer), None)
        answer.add(choice)
        choice.on_frame([Delta([token], "length", usage=EngineUsage(1, 1))])
        choice.on_end()
    await asyncio.sleep(0)
    assert b"cannot be told" in wires[0].data
    assert b'"finish_reason":"length"' in wires[1].data
    assert counts.inflight == 0


async def test_frames_of_one_pass_become_one_event_in_one_write() -> None:
    wire = Wire()
    answer = answer_of(wire, True, ModelCounts())
    choice = Choice(answer, 0, EngineRequest("m", token_ids=[1]), Detokenizer(bundle().tokenizer), None)
    answer.add(choice)
    for _ in range(5):
        choice.on_frame([Delta([70]), Delta([71])])
    assert wire.data == b""
    await asyncio.sleep(0)
    assert wire.data.count(b"data: ") == 1
    choice.on_frame([Delta([72])])
    await asyncio.sleep(0)
    assert wire.data.count(b"data: ") == 2
