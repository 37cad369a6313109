from __future__ import annotations

import json
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.bench.sample import Ask, Collector, Sample
from tests.bench.server import chunk, whole

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
FINISH = chunk("", finish="stop")
DONE = "[DONE]"


def sse(*events: str) -> bytes:
    return b"".join(f"data: {event}\n\n".encode() for event in events)


def collect(*reads: tuple[float, bytes]) -> Sample:
    collector = Collector(started=100.0)
    collector.feed(STREAM, 100.0)
    for at, body in reads:
        collector.feed(body, 100.0 + at)
    return collector.finish(100.0 + reads[-1][0])


def usage(tokens: int) -> str:
    return json.dumps({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": tokens}})


def test_times_of_a_stream() -> None:
    sample = collect(
        (0.1, sse(chunk("", None))),  # the opening chunk with the role carries no token
        (0.2, sse(chunk("a"))),
        (0.3, sse(chunk("b"))),
        (0.5, sse(chunk("c"), chunk("d"), FINISH, usage(4), DONE)),
    )
    assert sample.error == ""
    assert (sample.prompt_tokens, sample.completion_tokens) == (3, 4)
    assert sample.ttft_s == pytest.approx(0.2)
    assert sample.inter_token_s() == pytest.approx([0.1, 0.1, 0.1])
    assert sample.tpot_s == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_what_is_thought_counts_as_tokens(name: str) -> None:
    thought = json.dumps({"choices": [{"delta": {name: "hm"}}]})
    sample = collect((0.1, sse(thought)), (0.2, sse(chunk("a"))), (0.3, sse(FINISH, usage(2), DONE)))
    assert (sample.ttft_s, sample.inter_token_s()) == (pytest.approx(0.1), pytest.approx([0.1]))


def test_several_tokens_in_an_event_share_its_gap() -> None:
    sample = collect((0.1, sse(chunk("ab"))), (0.3, sse(chunk("cd"))), (0.3, sse(FINISH, usage(4), DONE)))
    assert sample.inter_token_s() == pytest.approx([0.0, 0.1, 0.1])


def test_without_usage_chunks_are_counted() -> None:
    sample = collect((0.1, sse(chunk("a"), chunk("b"), FINISH, DONE)))
    assert (sample.completion_tokens, sample.counted_by_usage) == (2, False)


def test_an_empty_answer_has_a_time_to_first_token() -> None:
    sample = collect((0.1, sse(FINISH, usage(0), DONE)))
    assert (sample.error, sample.ttft_s, sample.tpot_s) == ("", pytest.approx(0.1), None)


@pytest.mark.parametrize(
    ("events", "error"),
    [
        ((chunk("a"), FINISH), "stream without [DONE]"),
        ((chunk("a"), DONE), "stream without finish_reason"),
        ((chunk("a"), '{"error": {"message": "the engine died"}}', FINISH, DONE), "error event"),
        (("{broken", FINISH, DONE), "broken JSON"),
    ],
)
def test_a_stream_with_status_200_can_be_an_error(events: tuple[str, ...], error: str) -> None:
    assert collect((0.1, sse(*events))).error == error


@pytest.mark.parametrize(
    ("status", "body", "error", "detail"),
    [
        ("200 OK", json.dumps(whole(3)), "", ""),
        ("200 OK", '{"choices": []}', "answer without finish_reason", ""),
        ("200 OK", "<html>", "broken JSON", "JSON"),
        ("429 Too Many", '{"error": {"message": "slow\\ndown"}}', "http 429", "slow down"),
        ("502 Bad Gateway", "<html>", "http 502", "<html>"),
    ],
)
def test_whole_answers(status: str, body: str, error: str, detail: str) -> None:
    collector = Collector(0.0)
    assert collector.feed(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode(), 1.0)
    sample = collector.finish(1.0)
    assert sample.error == error
    assert detail in sample.detail


@pytest.mark.parametrize(
    ("worker_id", "worker"),
    [
        ({"decode_worker_id": "f3"}, "f3"),
        ({"decode_worker_id": 17, "prefill_worker_id": 18}, "17"),
        ({"decode_worker_id": "f3", "decode_worker": "decode-1"}, "decode-1"),
        ({}, ""),
        (None, ""),
    ],
)
def test_the_worker_that_answered(worker_id: dict | None, worker: str) -> None:
    told = json.dumps({"choices": [], "nvext": {"worker_id": worker_id}})
    assert collect((0.1, sse(told, chunk("a"), FINISH, DONE))).worker == worker


def test_a_request_is_given_up_after_so_many_pieces() -> None:
    collector = Collector(0.0, Ask(text=True, cancel_after=2))
    collector.feed(STREAM + sse(chunk("", None), chunk("a")), 0.1)
    assert not collector.sample.cancelled
    collector.feed(sse(chunk("b")), 0.2)
    sample = collector.finish(0.2)
    assert (sample.cancelled, sample.error, sample.completion_tokens, sample.text) == (True, "", 2, "ab")


def test_a_complete_answer_was_not_given_up() -> None:
    collector = Collector(0.0, Ask(cancel_after=2))
    assert not collector.feed(STREAM + sse(chunk("a"), chunk("b"), FINISH, usage(2), DONE), 0.1)
    assert (collector.finish(0.1).cancelled, collector.sample.error) == (False, "")


@pytest.mark.parametrize("stream", [True, False])
def test_the_text_of_an_answer_is_kept_when_it_is_asked_for(stream: bool) -> None:
    collector = Collector(0.0, Ask(text=True))
    if stream:
        collector.feed(STREAM + sse(chunk("one "), chunk("two"), FINISH, usage(2), DONE), 0.1)
    else:
        body = json.dumps(whole(2))
        collector.feed(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode(), 0.1)
    assert collector.finish(0.1).text == ("one two" if stream else "w w ")


def test_what_had_come_before_a_failure_is_kept() -> None:
    collector = Collector(1.0)
    collector.feed(STREAM + sse(chunk("a")), 1.1)
    collector.feed(sse(chunk("b")), 1.2)
    sample = collector.fail("timeout", now=2.0)
    assert (sample.error, sample.e2e_s, sample.ttft_s) == ("timeout", 1.0, pytest.approx(0.1))
    assert sample.between_reads_s() == [pytest.approx(0.1)]


def test_the_servers_own_error_counts_more_than_the_lost_connection_after_it() -> None:
    collector = Collector(0.0)
    collector.feed(STREAM + sse('{"error": {"message": "the engine died"}}'), 0.1)
    sample = collector.fail("connection lost", now=0.2)
    assert (sample.error, sample.detail) == ("error event", "the engine died")


@given(st.lists(st.integers(1, 60), min_size=1), st.integers(1, 90))
def test_how_the_network_cuts_a_stream_changes_nothing(sizes: list[int], tokens: int) -> None:
    stream = STREAM + sse(*[chunk(f"w{n} ") for n in range(tokens)], FINISH, usage(tokens), DONE)
    collector = Collector(0.0, Ask(text=True))
    at = 0
    for number, size in enumerate(cycle(sizes)):
        if at >= len(stream):
            break
        collector.feed(stream[at : at + size], float(number))
        at += size
    sample = collector.finish(float(number))
    assert (sample.error, sample.completion_tokens) == ("", tokens)
    assert sample.text == "".join(f"w{n} " for n in range(tokens))
    assert sum(count for _, count in sample.reads) == tokens
    assert len(sample.inter_token_s()) == tokens - 1
    assert sum(sample.inter_token_s()) == pytest.approx(sample.reads[-1][0] - sample.reads[0][0])
