"""Media by URL: nothing unless it is allowed, and then nothing that a stranger must not reach."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dynamo_cli.errors import InvalidRequest, UsageError
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.protocol.media import MOST_BYTES, Media
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.media.download import _is_public
from dynamo_cli.workers.media.fetch import fetch, fetching
from dynamo_cli.workers.media.options import MediaOptions, media_options

PICTURE = b"\x89PNG picture"


@asynccontextmanager
async def server(answers: dict[str, bytes], asked: list[str] | None = None) -> AsyncIterator[str]:
    """Plain HTTP on loopback: what it answers, by path; a path without an answer is never answered."""

    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        if asked is not None:
            asked.append(head)
        if path in answers:
            writer.write(answers[path])
            await writer.drain()
            writer.close()
        else:
            await reader.read()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


def ok(body: bytes, mime: str = "image/png") -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {mime}\r\nconnection: close\r\n\r\n".encode() + body


def moved(to: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()


def image(url: str) -> Media:
    return Media("image", url=url)


INTERNAL = MediaOptions(internal=True, most_bytes=100, timeout_s=5.0)


async def test_what_is_there_is_fetched_with_its_type_and_host() -> None:
    asked: list[str] = []
    async with server({"/a.png": ok(PICTURE), "/b": moved("/a.png")}, asked) as base:
        assert await fetch(image(f"{base}/b"), INTERNAL) == Media("image", PICTURE, type="image/png")
        named = base.replace("127.0.0.1", "localhost")
        assert (await fetch(image(f"{named}/a.png"), INTERNAL)).data == PICTURE
    assert f"host: {named.removeprefix('http://')}" in asked[-1].lower()


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/large", "more than 100 bytes"),
        ("/missing", "its server answered 404"),
        ("/round", "redirected more than 3 times"),
        ("/elsewhere", "fetches nothing from ftp: URLs"),
        ("/file", "fetches nothing from file: URLs"),
        ("/broken", "it cannot be fetched"),
    ],
)
async def test_what_cannot_be_fetched_is_one_line(path: str, why: str) -> None:
    answers = {
        "/large": ok(b"x" * 101),
        "/missing": b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        "/round": moved("/round"),
        "/elsewhere": moved("ftp://a/b"),
        "/file": moved("file:///etc/passwd"),
        "/broken": b"SSH-2.0\r\n",
    }
    async with server(answers) as base:
        with pytest.raises(InvalidRequest, match=why):
            await fetch(image(base + path), INTERNAL)


async def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    async with server({}) as base:
        with pytest.raises(InvalidRequest, match=r"took more than 0\.2 s"):
            await fetch(image(f"{base}/"), MediaOptions(internal=True, timeout_s=0.2))


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "[::1]", "10.0.0.1", "169.254.169.254", "[::ffff:127.0.0.1]"]
)
async def test_an_address_of_this_network_is_never_connected_to(host: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a public address"):
        await fetch(image(f"https://{host}/"), MediaOptions(urls=True))


@pytest.mark.parametrize(
    ("address", "public"),
    [("8.8.8.8", True), ("2606:4700::1", True), ("0.0.0.0", False), ("192.168.1.1", False), ("100.64.0.1", False),
     ("224.0.0.1", False), ("fd00::1", False), ("fe80::1", False), ("::ffff:10.0.0.1", False), ("::", False)],
)  # fmt: skip
def test_public_addresses(address: str, public: bool) -> None:
    assert _is_public(address) is public


@pytest.mark.parametrize("url", ["https://a.example/x", "http://a.example/x", "file:///etc/passwd"])
async def test_nothing_is_fetched_unless_it_is_allowed(url: str) -> None:
    with pytest.raises(InvalidRequest, match=f"fetches nothing from {url.partition(':')[0]}: URLs"):
        await fetch(image(url), MediaOptions())
    if not url.startswith("https"):
        with pytest.raises(InvalidRequest, match="fetches nothing"):
            await fetch(image(url), MediaOptions(urls=True))


async def test_files_are_read_below_the_directory_alone(tmp_path: Path) -> None:
    allowed, outside = tmp_path / "in", tmp_path / "secret"
    allowed.mkdir()
    outside.write_bytes(b"secret")
    (allowed / "a b.png").write_bytes(PICTURE)
    (allowed / "link").symlink_to(outside)
    (allowed / "large").write_bytes(b"x" * 101)
    options = MediaOptions(directory=allowed, most_bytes=100)
    assert (await fetch(image(f"file://{allowed}/a%20b.png"), options)).data == PICTURE
    refused = {
        f"file://{outside}": "outside",
        f"file://{allowed}/../secret": "outside",
        f"file://{allowed}/%2e%2e/secret": "outside",
        f"file://{allowed}/link": "outside",
        f"file://elsewhere{allowed}/a%20b.png": "outside",
        f"file://{allowed}/none": "cannot be read",
        f"file://{allowed}": "cannot be read",
        f"file://{allowed}/large": "more than 100 bytes",
        f"file://{allowed}/%00": "cannot be read",
        "file://[x/a": "cannot be read",
    }
    for url, why in refused.items():
        with pytest.raises(InvalidRequest, match=why):
            await fetch(image(url), options)


async def test_the_engine_sees_what_was_fetched_and_a_client_that_leaves_ends_it() -> None:
    seen: list[Media] = []

    async def engine(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        seen.extend(request.media)
        yield Delta([1], "stop")

    async with server({"/a": ok(PICTURE)}) as base:
        answer = fetching(engine, INTERNAL)
        inline = Media("audio", b"sound")
        asked = EngineRequest("m", [1], media=[inline, image(f"{base}/a")])
        assert [delta.finish_reason async for delta in answer(asked, Context())] == ["stop"]
        assert [one.data for one in seen] == [b"sound", PICTURE]
        context = Context()
        hangs = answer(EngineRequest("m", [1], media=[image(f"{base}/hangs")]), context)
        waiting: Any = asyncio.ensure_future(anext(hangs))
        await asyncio.sleep(0)
        context.stop()
        assert (await waiting).finish_reason == "cancelled"


def test_what_is_allowed_is_read_from_the_environment(tmp_path: Path) -> None:
    assert media_options({}).schemes == ()
    assert media_options({"DYN_MM_ALLOW_URLS": "1"}).schemes == ("https",)
    assert media_options({"DYN_MM_ALLOW_INTERNAL": "true"}).schemes == ("https", "http")
    local = media_options({"DYN_MM_LOCAL_PATH": str(tmp_path), "DYN_MM_MAX_FILE_SIZE_MB": "0.5"})
    assert (local.schemes, local.most_bytes) == (("file",), MOST_BYTES // 48)
    for wrong in ({"DYN_MM_LOCAL_PATH": str(tmp_path / "none")}, {"DYN_MM_MAX_FILE_SIZE_MB": "25"}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            media_options(wrong)
