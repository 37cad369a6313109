"""Logprobs come with the text of their tokens, whatever pieces the tokens come in."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.frontend.alignment import Alignment
from dynamo_cli.frontend.answer import StreamedAnswer, WholeAnswer
from dynamo_cli.frontend.careful import Care, CarefulChoice
from dynamo_cli.frontend.flush import Flusher
from dynamo_cli.frontend.formats import ChatFormat
from dynamo_cli.frontend.logprobs import WithLogprobs, chat_logprobs
from dynamo_cli.frontend.metrics.counts import ModelCounts, Tracker
from dynamo_cli.protocol.engine import Delta, EngineRequest, TokenLogprob
from dynamo_cli.runtime.http.exchange import Exchange, Request
from dynamo_cli.text.detokenizer import Detokenizer
from dynamo_cli.text.stops import StopStrings
from tests.frontend.test_choice import Wire, bundle

Shown = list[tuple[str, list[dict[str, Any]]]]
"""Of each event: its text and its logprobs."""


async def generated(text: str, cuts: list[int], stop: str | None, care: Care, stream: bool) -> Shown:
    tokenizer = bundle().tokenizer
    ids = tokenizer.encode(text)
    wire = Wire()
    exchange = Exchange(wire, Request("POST", "/", {}, "1.1", False))  # type: ignore[arg-type]
    tracker, form = (
        Tracker(ModelCounts(), "completions", stream),
        WithLogprobs(ChatFormat("m"), chat_logprobs, tokenizer.token_bytes),
    )
    answer: Any = WholeAnswer(exchange, form, tracker, Flusher())
    if stream:
        answer = StreamedAnswer(exchange, form, tracker, Flusher(), include_usage=False)
    stops = StopStrings([stop]) if stop else None
    request = EngineRequest("m", token_ids=[1])
    choice = CarefulChoice(answer, 0, request, Detokenizer(tokenizer), stops, care, Alignment())
    answer.add(choice)
    for cut in cuts:
        piece, ids = ids[:cut], ids[cut:]
        choice.on_frame([Delta(piece, logprobs=[TokenLogprob(token, -token / 8) for token in piece])])
        await asyncio.sleep(0)
    choice.on_frame([Delta(ids, "stop", logprobs=[TokenLogprob(token, -token / 8) for token in ids])])
    await asyncio.sleep(0)
    if not stream:
        (only,) = json.loads(wire.data.partition(b"\r\n\r\n")[2])["choices"]
        return [(only["message"]["content"], only["logprobs"]["content"])]
    choices = [event["choices"][0] for event in wire.events]
    return [(c["delta"].get("content", ""), (c["logprobs"] or {}).get("content", [])) for c in choices]


def text_of(logprobs: list[dict[str, Any]]) -> bytes:
    return bytes(byte for logprob in logprobs for byte in logprob["bytes"])


LETTERS = "ab ☂é🦀日本e\u0301👩‍🚀"


@pytest.mark.parametrize("stream", [True, False])
@given(
    text=st.text(st.sampled_from(LETTERS), min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 6), max_size=40),
    stop=st.none() | st.text(st.sampled_from("ab☂日\u0301 "), min_size=1, max_size=3),
    care=st.builds(Care, shows_stop=st.booleans(), stops_after=st.integers(0, 5)),
)
def test_the_shown_tokens_spell_the_shown_text(
    stream: bool, text: str, cuts: list[int], stop: str | None, care: Care
) -> None:
    events = asyncio.run(generated(text, cuts, stop, care, stream))
    shown = "".join(piece for piece, _ in events)
    assert shown == expected(text, stop, care)
    so_far = told = b""
    for piece, logprobs in events:
        so_far += piece.encode()
        told += text_of(logprobs)
        assert told.startswith(so_far) or so_far.startswith(told)
    # One token of the toy is one byte, so nothing is shown in part.
    assert told == shown.encode()
    tokens = bundle().tokenizer.encode(shown)
    assert [logprob["logprob"] for _, logprobs in events for logprob in logprobs] == [-t / 8 for t in tokens]


def expected(text: str, stop: str | None, care: Care) -> str:
    """What a reader who sees the whole text at once would show."""
    if stop is None:
        return text
    ids = bundle().tokenizer.encode(text)
    detokenizer = Detokenizer(bundle().tokenizer)
    free = "".join(detokenizer.push([token]) for token in ids[: care.stops_after])
    watched = text[len(free) :]
    if stop not in watched:
        return text
    return free + watched.partition(stop)[0] + (stop if care.shows_stop else "")


def test_a_token_that_is_only_partly_shown_is_told() -> None:
    alignment = Alignment()
    alignment.add(TokenLogprob(1, -1.0), 3)
    alignment.add(TokenLogprob(2, -2.0), 3)
    alignment.add(TokenLogprob(3, -3.0), 3)
    assert [entry.token_id for entry in alignment.release(2, last=False)] == []
    assert [entry.token_id for entry in alignment.release(2, last=True)] == [1, 2]
