from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.bench.answers import EventReader
from dynamo_cli.runtime.http.response import BrokenResponse, Response


def read(raw: bytes, cuts: list[int]) -> tuple[Response, bytes]:
    response, body = Response(), b""
    edges = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        body += response.feed(raw[start:end])
    return response, body


def chunked(parts: list[bytes], trailer: bytes = b"") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part) + b"0\r\n" + trailer + b"\r\n"


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(0, 2000), max_size=30))
def test_a_chunked_body_is_the_same_however_it_is_cut(parts: list[bytes], cuts: list[int]) -> None:
    response, body = read(chunked(parts, b"X-Trailer: 1\r\n"), cuts)
    assert response.done
    assert response.is_event_stream
    assert body == b"".join(parts)


@given(st.binary(max_size=60), st.lists(st.integers(0, 300), max_size=20))
def test_a_sized_body_is_the_same_however_it_is_cut(payload: bytes, cuts: list[int]) -> None:
    raw = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(payload), payload)
    response, body = read(raw, cuts)
    assert (response.status, response.done, response.keep_alive, body) == (404, True, False, payload)


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1).map(str.strip)),
    st.lists(st.integers(0, 500)),
)
def test_events_are_the_same_however_they_are_cut(texts: list[str], cuts: list[int]) -> None:
    texts = [text for text in texts if text]
    raw = b"".join(b": comment\ndata: %b\r\n\r\n" % text.encode() for text in texts)
    reader, events = EventReader(), []
    edges = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        events += reader.feed(raw[start:end])
    assert [event.strip() for event in events] == [text.encode().strip() for text in texts]


def test_one_event_may_have_several_data_lines() -> None:
    assert EventReader().feed(b"event: x\ndata: a\ndata:b\n\ndata: c\n\nid: 4\n\n") == [b"a\nb", b"c"]


def test_a_body_without_framing_ends_with_the_connection() -> None:
    response, body = read(b"HTTP/1.1 200 OK\r\n\r\nall of it", [])
    assert not response.done
    assert response.close()
    assert body == b"all of it"


def test_a_framed_body_cut_short_is_not_complete() -> None:
    response, _ = read(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", [])
    assert not response.close()


def test_an_interim_response_is_skipped() -> None:
    response, _ = read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", [7])
    assert (response.status, response.done) == (200, True)


@pytest.mark.parametrize("raw", [b"SSH-2.0-OpenSSH\r\n\r\n", chunked([b"ab"]).replace(b"2\r\nab", b"zz\r\nab")])
def test_what_is_not_http_is_named(raw: bytes) -> None:
    with pytest.raises(BrokenResponse):
        Response().feed(raw)
