"""Ten thousand malformed requests to a real frontend: none crashes it, is a 500, or leaves anything behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.frontend.processes import Process, models, started, until

pytestmark = pytest.mark.slow

FEW, MANY = 2_000, 10_000
AT_ONCE = 32
GROWTH_BYTES = 5 << 20
PATIENCE_S = 10.0
STATUS = re.compile(rb"(?:\A|\n|\}|>)HTTP/1\.1 (\d{3}) ")
LINES = [
    *(
        b"content-length: %b" % value
        for value in (b"0", b"3", b"-1", b"1e3", b"999999999", b"9" * 30, b"", b"5, 5", b"0x10")
    ),
    *(b"transfer-encoding: %b" % value for value in (b"chunked", b"gzip", b"chunked, chunked", b"", b"identity")),
    *(b"connection: %b" % value for value in (b"close", b"keep-alive", b"upgrade", b"close, upgrade", b"\xff")),
    *(b"expect: 100-continue", b"upgrade: websocket", b"host: a,b", b"host:", b" folded", b"no colon", b":", b"\0: \0"),
    *(b"content-type: text/html", b"content-encoding: br", b"x: " + b"y" * 70_000, b"origin: \x01", b"a\tb: c"),
]
JUNK: list[object] = [None, True, -1, 1e309, 10**30, "", "x" * 50, "\ud800", [], [None], {}, {"a": [{}]}, [[[[]]]]]
FIELDS = ("model", "messages", "prompt", "stream", "max_tokens", "temperature", "stop", "n", "nvext", "tools", "user")


class Client:
    """Makes the same requests for the same seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def request(self) -> bytes:
        """A good one, spoilt in up to three ways."""
        rng = self.rng
        body = self.body()
        method = rng.choice([*[b"POST"] * 6, b"GET", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"BREW", b"post", b""])
        path = rng.choice(
            [
                *[b"/v1/chat/completions"] * 6,
                b"/v1/completions",
                b"/v1/models/",
                b"/%ff%00",
                b"*",
                b"//",
                b"?",
                b"http://",
            ]
        )
        version = rng.choice([b"HTTP/1.1"] * 12 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.", b"RTSP/1.0", b""])
        lines = [
            b"host: x",
            b"content-length: %d" % rng.choice([*[len(body)] * 20, 10**9]),
            *rng.choices(LINES, k=rng.choice([0, 0, 0, 1, 2])),
        ]
        rng.shuffle(lines)
        whole = b"\r\n".join([b"%b %b %b" % (method, path, version), *lines, b"", body])
        for _ in range(rng.choice([0, 0, 1, 1, 3])):
            whole = self.spoil(whole)
        return whole

    def body(self) -> bytes:
        rng = self.rng
        fields: dict[str, object] = {"model": "echo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}
        for _ in range(rng.choice([0, 1, 2])):
            fields[rng.choice(FIELDS)] = rng.choice(JUNK)
        body = json.dumps(fields).encode()
        return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if rng.random() < 0.2 else body

    def spoil(self, whole: bytes) -> bytes:
        rng = self.rng
        at = rng.randrange(len(whole) + 1)
        return rng.choice(
            [
                lambda: whole[:at],
                lambda: whole[:at] + rng.randbytes(rng.choice([1, 2, 40])) + whole[at:],
                lambda: whole[:at] + whole[at + rng.choice([1, 2, 20]) :],
                lambda: whole.replace(b"\r\n", rng.choice([b"\n", b"\r", b"\r\n\r\n"]), rng.choice([1, 2])),
                lambda: whole + self.body(),
                lambda: rng.randbytes(rng.choice([1, 10, 300])),
            ]
        )()

    async def send(self, port: int) -> list[int]:
        """One connection; most say that they are done and wait for the end. Returns the statuses."""
        data, pieces, end = self.request(), self.rng.choice([1, 1, 2, 5]), self.rng.choice(["abort", *["eof"] * 4])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        received = b""
        with contextlib.suppress(ConnectionError):
            size = max(1, -(-len(data) // pieces))
            for start in range(0, len(data), size):
                writer.write(data[start : start + size])
                await asyncio.sleep(0)
            if end == "eof":
                with contextlib.suppress(OSError):
                    writer.write_eof()
                received = await asyncio.wait_for(reader.read(), PATIENCE_S)
        writer.transport.abort()
        return [int(status) for status in STATUS.findall(received)]


async def bombard(port: int, numbers: range) -> Counter[int]:
    statuses: Counter[int] = Counter()
    left = iter(numbers)

    async def work() -> None:
        for number in left:
            statuses.update(await Client(number).send(port))

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return statuses


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    with started(tmp_path) as start:
        yield start


def test_rubbish_leaves_nothing_behind(start: Callable[..., Process]) -> None:
    frontend, worker = start("frontend", "--http-port", "0"), start("worker", "--engine", "echo")
    url = frontend.url
    port = int(url.rsplit(":", 1)[1])
    until(lambda: models(url) == ["echo"], frontend, worker)
    process = psutil.Process(frontend.popen.pid)
    body = {"model": "echo", "messages": [{"role": "user", "content": "connects to the worker"}]}
    assert httpx.post(f"{url}/v1/chat/completions", json=body, trust_env=False).status_code == 200
    files = process.num_fds()
    statuses = asyncio.run(bombard(port, range(FEW)))
    before = process.memory_info().rss
    statuses += asyncio.run(bombard(port, range(FEW, MANY)))
    assert process.memory_info().rss - before < GROWTH_BYTES
    assert frontend.popen.poll() is None
    assert 500 not in statuses, frontend.log[-3000:]
    assert {200, 400, 404, 405, 413, 415, 431, 501, 505} <= set(statuses), statuses
    until(lambda: process.num_fds() <= files, frontend)
    assert models(url) == ["echo"]
    assert "Traceback" not in frontend.log and " ERROR " not in frontend.log, frontend.log[-3000:]
    assert "Traceback" not in worker.log, worker.log[-3000:]
