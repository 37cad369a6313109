"""Bytes sent in pieces, answers expected, connection kept or closed: one row for each rule of HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
import uvloop

from dynamo_cli.runtime.http.routes import RouteTable
from dynamo_cli.runtime.http.server import HttpServer
from tests.runtime.http.wire import LIMITS, Talks, admit, answer, get, post, split

KEPT, CLOSED = False, True
UPGRADE = get(extra=b"connection: upgrade\r\nupgrade: websocket\r\n")
CHUNKED = b"POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
EXPECT = b"POST /x HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n"


class Row(NamedTuple):
    """`answers`: the body of a 200, or the status of an error."""

    name: str
    pieces: tuple[bytes, ...]
    answers: tuple[bytes | int, ...]
    closed: bool


def row(name: str, *pieces: bytes, to: bytes | int | tuple[bytes | int, ...], closed: bool) -> Row:
    return Row(name, pieces, to if isinstance(to, tuple) else (to,), closed)


def with_header(line: bytes) -> bytes:
    return get(extra=line + b"\r\n")


SERVED = [
    row("keep-alive is the default", get(), to=b"<GET /x >", closed=KEPT),
    row("connection: close", get(extra=b"connection: close\r\n"), to=b"<GET /x >", closed=CLOSED),
    row("one byte at a time", *(bytes([b]) for b in get()), to=b"<GET /x >", closed=KEPT),
    row("lines before the request", b"\r\n\r\n" + get(), to=b"<GET /x >", closed=KEPT),
    row("HTTP/1.0 closes", b"GET /x HTTP/1.0\r\n\r\n", to=b"<GET /x >", closed=CLOSED),
    row("HTTP/1.0 keep-alive", get(extra=b"connection: keep-alive\r\n", version=b"1.0"), to=b"<GET /x >", closed=KEPT),
    row(
        "a stream to HTTP/1.0 ends by close",
        get("/stream", b"connection: keep-alive\r\n", b"1.0"),
        to=b"onetwothree",
        closed=CLOSED,
    ),
    row("a stream", get("/stream"), to=b"onetwothree", closed=KEPT),
    row("two requests in turn", get("/a"), get("/b"), to=(b"<GET /a >", b"<GET /b >"), closed=KEPT),
    row(
        "pipelined, answered in order",
        post("/later", b"first") + get("/b") + get("/stream"),
        to=(b"first", b"<GET /b >", b"onetwothree"),
        closed=KEPT,
    ),
    row(
        "pipelined, more than the limit",
        b"".join(post("/later", b"%d" % number) for number in range(9)),
        to=tuple(b"%d" % number for number in range(9)),
        closed=KEPT,
    ),
    row(
        "nothing behind connection: close", get(extra=b"connection: close\r\n") + get(), to=b"<GET /x >", closed=CLOSED
    ),
    row("a body in pieces", post("/x", b"body")[:-2], b"dy", to=b"<POST /x body>", closed=KEPT),
    row("chunks", CHUNKED + b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n", to=b"<POST /x abcde>", closed=KEPT),
    row("chunks cut anywhere", CHUNKED + b"2\r", b"\na", b"b\r\n0", b"\r\n\r\n", to=b"<POST /x ab>", closed=KEPT),
    row("chunk extensions", CHUNKED + b'2;a=b;c="d"\r\nab\r\n0;e\r\n\r\n', to=b"<POST /x ab>", closed=KEPT),
    row(
        "trailers",
        CHUNKED + b"2\r\nab\r\n0\r\nx-sum: 1\r\n\r\n" + get(),
        to=(b"<POST /x ab>", b"<GET /x >"),
        closed=KEPT,
    ),
    row("GET with a body", get(extra=b"content-length: 2\r\n") + b"ab", to=b"<GET /x ab>", closed=KEPT),
    row("absolute form", b"GET http://y/x/z?q HTTP/1.1\r\nhost: y\r\n\r\n", to=b"<GET /x/z >", closed=KEPT),
    row("absolute form without a path", b"GET HTTPS://y HTTP/1.1\r\nhost: y\r\n\r\n", to=b"<GET / >", closed=KEPT),
    row("absolute form with only a query", b"GET http://y?q HTTP/1.1\r\nhost: y\r\n\r\n", to=b"<GET / >", closed=KEPT),
    row("escapes in the path", get("/b%20c%2Fd"), to=b"<GET /b c/d >", closed=KEPT),
    row("broken escapes stay", get("/b%zz%"), to=b"<GET /b%zz% >", closed=KEPT),
    row("a query", get("/x?a=/b%20&c"), to=b"<GET /x >", closed=KEPT),
    row("an empty host", b"GET /x HTTP/1.1\r\nhost:\r\n\r\n", to=b"<GET /x >", closed=KEPT),
    row("an IPv6 host", b"GET /x HTTP/1.1\r\nhost: [::1]:8000\r\n\r\n", to=b"<GET /x >", closed=KEPT),
    row(
        "content-encoding: identity",
        post("/x", b"a", b"content-encoding: identity\r\n"),
        to=b"<POST /x a>",
        closed=KEPT,
    ),
    row(
        "an upgrade is not made",
        post("/x", b"body", b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n") + get(),
        to=(b"<POST /x body>", b"<GET /x >"),
        closed=KEPT,
    ),
    row(
        "an upgrade is not made, its body comes later",
        post("/x", b"", b"connection: upgrade, close\r\nupgrade: h2c\r\n").replace(b"length: 0", b"length: 4"),
        b"bo",
        b"dy",
        to=b"<POST /x body>",
        closed=CLOSED,
    ),
    row("a thousand upgrades", 1000 * UPGRADE, to=(b"<GET /x >",) * 1000, closed=KEPT),
    row(
        "an upgrade in a trailer",
        CHUNKED[:-2] + b"connection: upgrade\r\n\r\n0\r\nupgrade: h2c\r\n\r\n" + get(),
        to=(b"<POST /x >", b"<GET /x >"),
        closed=KEPT,
    ),
    row("an error of the handler keeps", get("/overloaded") + get(), to=(529, b"<GET /x >"), closed=KEPT),
]

REFUSED = [
    row("no host", b"GET /x HTTP/1.1\r\n\r\n", to=400, closed=CLOSED),
    row("two hosts", with_header(b"host: y"), to=400, closed=CLOSED),
    row("a host that is none", b"GET /x HTTP/1.1\r\nhost: a b\r\n\r\n", to=400, closed=CLOSED),
    row("length and chunks", CHUNKED[:-2] + b"content-length: 3\r\n\r\n0\r\n\r\n", to=400, closed=CLOSED),
    row(
        "chunks and length",
        post("/x", b"0\r\n\r\n")[:-7] + b"transfer-encoding: chunked\r\n\r\n",
        to=400,
        closed=CLOSED,
    ),
    row("the same length twice", post("/x", b"abc", b"content-length: 3\r\n"), to=400, closed=CLOSED),
    row("two lengths", post("/x", b"abc", b"content-length: 4\r\n"), to=400, closed=CLOSED),
    row("a list of lengths", with_header(b"content-length: 3, 3"), to=400, closed=CLOSED),
    row("a negative length", with_header(b"content-length: -1"), to=400, closed=CLOSED),
    row("a signed length", with_header(b"content-length: +1"), to=400, closed=CLOSED),
    row("an empty length", with_header(b"content-length:"), to=400, closed=CLOSED),
    row("a length beyond 64 bits", with_header(b"content-length: 99999999999999999999"), to=400, closed=CLOSED),
    row("a chunk size that is none", CHUNKED + b"zz\r\nab\r\n0\r\n\r\n", to=400, closed=CLOSED),
    row("a chunk size beyond 64 bits", CHUNKED + b"fffffffffffffffff\r\n", to=400, closed=CLOSED),
    row("a chunk longer than it says", CHUNKED + b"2\r\nabc\r\n0\r\n\r\n", to=400, closed=CLOSED),
    row("chunks in HTTP/1.0", CHUNKED.replace(b"/1.1", b"/1.0") + b"0\r\n\r\n", to=400, closed=CLOSED),
    row("another transfer encoding", CHUNKED.replace(b": chunked", b": gzip, chunked"), to=501, closed=CLOSED),
    row("chunked is not the last", CHUNKED.replace(b": chunked", b": chunked, gzip"), to=400, closed=CLOSED),
    row("a folded header", with_header(b"a: b\r\n c"), to=400, closed=CLOSED),
    row("a space before the colon", with_header(b"a : b"), to=400, closed=CLOSED),
    row("a header without a name", with_header(b": b"), to=400, closed=CLOSED),
    row("a header without a colon", with_header(b"nonsense"), to=400, closed=CLOSED),
    row("NUL in a header", with_header(b"a: b\0c"), to=400, closed=CLOSED),
    row("a bare CR in a header", with_header(b"a: b\rc"), to=400, closed=CLOSED),
    row("a bare LF ends a header", with_header(b"a: b\nc: d"), to=400, closed=CLOSED),
    row("a bare LF ends the request line", b"GET /x HTTP/1.1\nhost: x\n\n", to=400, closed=CLOSED),
    row("a space in the target", b"GET /a b HTTP/1.1\r\nhost: x\r\n\r\n", to=400, closed=CLOSED),
    row("bytes above 127 in the target", b"GET /\xc3\xa4 HTTP/1.1\r\nhost: x\r\n\r\n", to=400, closed=CLOSED),
    row("a target of another scheme", b"GET ftp://x/y HTTP/1.1\r\nhost: x\r\n\r\n", to=400, closed=CLOSED),
    row("no HTTP at all", b"no HTTP at all\r\n\r\n", to=400, closed=CLOSED),
    row("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", to=400, closed=CLOSED),
    row("SSH", b"SSH-2.0-OpenSSH_9.9\r\n", to=400, closed=CLOSED),
    row("an unknown method", b"BREW /x HTTP/1.1\r\nhost: x\r\n\r\n", to=501, closed=CLOSED),
    row("a method in small letters", b"get /x HTTP/1.1\r\nhost: x\r\n\r\n", to=501, closed=CLOSED),
    row("CONNECT", b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n", to=405, closed=CLOSED),
    row("HTTP/2 with prior knowledge", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", to=505, closed=CLOSED),
    row("HTTP/0.9", b"GET /x HTTP/0.9\r\nhost: x\r\n\r\n", to=505, closed=CLOSED),
    row("HTTP/1.2", b"GET /x HTTP/1.2\r\nhost: x\r\n\r\n", to=400, closed=CLOSED),
    row("a target that is too long", get("/" + 500 * "x"), to=414, closed=CLOSED),
    row("a target that never ends", b"GET /", *(200 * b"x" for _ in range(4)), to=414, closed=CLOSED),
    row("a head that is too large", with_header(b"a: " + b"x" * 2000), to=431, closed=CLOSED),
    row("a header that never ends", b"GET /x HTTP/1.1\r\na: ", *(b"x" * 700 for _ in range(4)), to=431, closed=CLOSED),
    row("too many headers", with_header(b"\r\n".join(b"a%d: 1" % n for n in range(20))), to=431, closed=CLOSED),
    row("a trailer that never ends", CHUNKED + b"0\r\na: ", *(b"x" * 700 for _ in range(4)), to=400, closed=CLOSED),
    row("a length that is too large", post("/x", b"")[:-5] + b"5001\r\n\r\n", to=413, closed=CLOSED),
    row("a chunked body that is too large", CHUNKED + b"1771\r\n" + b"x" * 6001, to=413, closed=CLOSED),
    row("gzip", post("/x", b"a", b"content-encoding: gzip\r\n"), to=415, closed=CLOSED),
    row("another expectation", post("/x", b"a", b"expect: miracles\r\n"), to=417, closed=CLOSED),
    row("refused by its head", post("/private", b"")[:-5] + b"9\r\n\r\n", to=401, closed=CLOSED),
    row(
        "refused behind one that is served",
        post("/later", b"a") + get() + b"\0",
        to=(b"a", b"<GET /x >", 400),
        closed=CLOSED,
    ),
    row("a head that takes too long", b"GET /x HT", to=408, closed=CLOSED),
    row("a body that takes too long", post("/x", b"body")[:-1], to=408, closed=CLOSED),
]


@pytest.fixture
async def talks() -> AsyncIterator[Talks]:
    talks = Talks(HttpServer(answer, LIMITS, admit))
    yield talks
    await talks.close()


@pytest.mark.parametrize("case", SERVED + REFUSED, ids=lambda case: case.name)
async def test_the_wire(talks: Talks, case: Row) -> None:
    await play(talks, case)


@pytest.mark.parametrize("case", SERVED + REFUSED, ids=lambda case: case.name)
def test_the_wire_on_uvloop(case: Row) -> None:
    """As frontends run."""

    async def alone() -> None:
        talks = Talks(HttpServer(answer, LIMITS, admit))
        await play(talks, case)
        await talks.close()

    loop = uvloop.new_event_loop()
    loop.run_until_complete(alone())
    loop.close()


async def play(talks: Talks, case: Row) -> None:
    talk = await talks.connect()
    await talk.send(*case.pieces)
    received, closed = await talk.rest()
    answers = split(received)
    assert [a.status if a.status != 200 else a.body for a in answers] == list(case.answers)
    assert closed == case.closed
    last = answers[-1]
    assert (last.headers.get("connection") == "close") == case.closed
    assert all("date" in a.headers and "x-request-id" in a.headers for a in answers)
    for one in answers:
        assert one.status == 200 or one.error["message"]


async def test_100_continue_is_sent_when_the_body_is_wanted(talks: Talks) -> None:
    talk = await talks.connect()
    await talk.send(EXPECT % 4)
    assert await talk.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await talk.send(b"body")
    received, closed = await talk.rest()
    assert ([a.body for a in split(received)], closed) == ([b"<POST /x body>"], False)


async def test_100_continue_waits_for_the_answers_before_it(talks: Talks) -> None:
    talk = await talks.connect()
    await talk.send(post("/later", b"first") + EXPECT % 4)
    received = await talk.reader.readuntil(b"100 Continue\r\n\r\n")
    assert b"first" in received
    await talk.send(b"body")
    assert split((await talk.rest())[0])[0].body == b"<POST /x body>"


async def test_a_client_that_had_to_wait_for_its_100_is_not_late(talks: Talks) -> None:
    talk = await talks.connect()
    await talk.send(post("/slow", b"first") + EXPECT % 4)
    await talk.reader.readuntil(b"100 Continue\r\n\r\n")
    await asyncio.sleep(LIMITS.head_s)
    await talk.send(b"body")
    assert split((await talk.rest())[0])[0].body == b"<POST /x body>"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (EXPECT % 5001, 413),
        (EXPECT.replace(b"/x", b"/private") % 4, 401),
        (EXPECT % 4 + b"body", 200),
        (EXPECT % 0, 200),
        (EXPECT.replace(b"1.1\r", b"1.0\r") % 4 + b"body", 200),
    ],
    ids=["too large", "not admitted", "it is here already", "there is none", "HTTP/1.0"],
)
async def test_100_continue_is_not_sent_when_no_body_is_waited_for(talks: Talks, request_: bytes, status: int) -> None:
    talk = await talks.connect()
    await talk.send(request_)
    (only,) = split((await talk.rest())[0])
    assert (only.status, only.interim) == (status, 0)


async def test_head_has_no_body_and_options_says_what_is_allowed() -> None:
    table = RouteTable()
    table.add("GET", "/g", lambda exchange: exchange.send(200, b"body"))
    table.add("POST", "/p", lambda exchange: exchange.send(200, b"body"))
    table.add("GET", "/b", lambda exchange: exchange.send(200, b"get"))
    table.add("POST", "/b", lambda exchange: exchange.send(200, b"post"))
    talks = Talks(HttpServer(table.handle, LIMITS))
    expected: list[tuple[bytes, int, dict[str, Any]]] = [
        (get("/g", method=b"HEAD"), 200, {"content-length": "4"}),
        (get("/g", method=b"OPTIONS"), 204, {"allow": "get, head, options"}),
        (get("/p", method=b"OPTIONS"), 204, {"allow": "post, options"}),
        (get("*", method=b"OPTIONS"), 204, {"allow": "get, post, head, options"}),
        (get("/p", method=b"HEAD"), 405, {"allow": "post, options"}),
        (get("/b", method=b"HEAD"), 200, {"content-length": "3"}),
        (get("/b", method=b"OPTIONS"), 204, {"allow": "get, post, head, options"}),
        (get("/b", method=b"DELETE"), 405, {"allow": "get, post, head, options"}),
        (get("/none", method=b"HEAD"), 404, {}),
        (get("/none", method=b"OPTIONS"), 404, {}),
        (get("/g", method=b"DELETE"), 405, {"allow": "get, head, options"}),
        (get("/p", method=b"PROPFIND"), 405, {"allow": "post, options"}),
    ]
    for sent, status, headers in expected:
        talk = await talks.connect()
        await talk.send(sent)
        received, closed = await talk.rest()
        (only,) = split(received, head_only=sent.startswith(b"HEAD"))
        assert (only.status, closed) == (status, False), sent
        assert headers.items() <= only.headers.items()
        assert status != 204 or "content-length" not in only.headers
    await talks.close()


async def test_repeated_headers_are_joined_and_trailers_are_not_headers(talks: Talks) -> None:
    talk = await talks.connect()
    head = CHUNKED.replace(b"/x", b"/headers").replace(b"\r\n\r\n", b"\r\nA: 1\r\na: 2\r\n\r\n")
    await talk.send(head + b"0\r\nauthorization: Bearer late\r\n\r\n")
    (only,) = split((await talk.rest())[0])
    assert b'"a":"1, 2"' in only.body
    assert b"late" not in only.body


@pytest.mark.parametrize(
    ("given", "kept"),
    [(b"abc-1", True), (b"x" * 128, True), (b"x" * 129, False), (b"a b", False), (b"\xff", False), (b"", False)],
)
async def test_a_request_id_is_echoed_if_it_is_one(talks: Talks, given: bytes, kept: bool) -> None:
    talk = await talks.connect()
    await talk.send(get(extra=b"X-Request-Id: %b\r\n" % given) + get("/overloaded"))
    first, second = split((await talk.rest())[0])
    assert (first.headers["x-request-id"] == given.decode("latin-1")) == kept
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert second.headers["x-request-id"].startswith("req-")


async def test_an_idle_connection_is_closed_without_a_word(talks: Talks) -> None:
    talk = await talks.connect()
    await talk.send(get())
    assert len(split((await talk.rest())[0])) == 1
    assert await talk.reader.read() == b""


async def test_a_connection_is_not_idle_while_it_waits_for_its_answer(talks: Talks) -> None:
    talk = await talks.connect()
    exchanges = []
    talks.server._handler = exchanges.append
    await talk.send(get())
    await asyncio.sleep(LIMITS.idle_s + 0.3)
    exchanges[0].send(200, b"late")
    received, closed = await talk.rest()
    assert (split(received)[0].body, closed) == (b"late", False)


async def test_a_slow_body_that_moves_is_waited_for(talks: Talks) -> None:
    """At ten times the least rate, for longer than the times of head and body together."""
    talk = await talks.connect()
    await talk.send(post("/x", b"")[:-5] + b"5000\r\n\r\n", *(b"x" * 200 for _ in range(25)), pause_s=0.03)
    assert split((await talk.rest())[0])[0].status == 200


@pytest.mark.parametrize("requests", [get("/a") + get("/b"), post("/later", b"<POST /a >") + get("/b") + get("/c")])
async def test_all_that_was_asked_before_the_end_is_answered(talks: Talks, requests: bytes) -> None:
    talk = await talks.connect()
    await talk.send(requests)
    talk.writer.write_eof()
    received, closed = await talk.rest()
    answers = split(received)
    assert closed
    assert [answer.status for answer in answers] == [200] * requests.count(b"HTTP/1.1")
