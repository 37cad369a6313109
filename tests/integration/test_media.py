"""Pictures and sounds through the real executable to an engine that tells what it got."""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.dynamo import Dynamo

ENGINE = """\
class Seeing:
    input = "text"
    modalities = ("image", "audio")

    async def generate(self, request):
        for one in request.media:
            yield f"{one.kind} {one.type} {len(one.data)} {one.data[:1].decode()}; "
        yield str(request.messages[-1]["content"])
"""
TOPOLOGY = """\
name = "seeing"
[frontend]
port = 0
[workers.decode]
engine = "custom"
env = {{ {env} }}
[workers.decode.options]
target = "seeing:Seeing"
model_name = "seeing"
"""


class Pictures(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "image/webp")
        self.end_headers()
        self.wfile.write(b"remote")

    def log_message(self, *words: Any) -> None:
        pass


@pytest.fixture
def remote() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pictures)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/a.webp"
    server.shutdown()
    thread.join()
    server.server_close()


def image(data: bytes) -> dict[str, Any]:
    return at(f"data:image/png;base64,{b64encode(data).decode()}")


def at(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def sound(data: bytes) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": b64encode(data).decode(), "format": "wav"}}


def ask(url: str, *parts: Any) -> httpx.Response:
    messages = [{"role": "user", "content": [*parts, {"type": "text", "text": "what?"}]}]
    return httpx.post(f"{url}/v1/chat/completions", json={"model": "seeing", "messages": messages}, timeout=20.0)


def started(dynamo: Dynamo, env: str) -> str:
    Path("seeing.py").write_text(ENGINE)
    done = dynamo.run("up", "-d", dynamo.write(TOPOLOGY.format(env=env)))
    assert done.code == 0, done.err
    return str(dynamo.status()["url"])


@pytest.mark.slow
def test_an_engine_gets_what_was_sent_in_order(dynamo: Dynamo, remote: str) -> None:
    url = started(dynamo, "")
    large = b"L" * (5 << 20)
    answer = ask(url, image(b"A" * 3), sound(b"B"), image(large))
    assert answer.status_code == 200, answer.text
    said = answer.json()["choices"][0]["message"]["content"]
    assert said == f"image image/png 3 A; audio audio/wav 1 B; image image/png {len(large)} L; what?"
    for part, why in (
        (at(remote), "fetch nothing from http: URLs"),
        ({"type": "video_url", "video_url": remote}, "no video"),
    ):
        refused = ask(url, part)
        assert refused.status_code == 400 and why in refused.json()["error"]["message"]


@pytest.mark.slow
def test_a_worker_that_may_fetches_from_this_network(dynamo: Dynamo, remote: str) -> None:
    url = started(dynamo, 'DYN_MM_ALLOW_INTERNAL = "1"')
    answer = ask(url, at(remote))
    assert answer.json()["choices"][0]["message"]["content"] == "image image/webp 6 r; what?", answer.text
    assert ask(url, at("file:///etc/hostname")).status_code == 400
    gone = ask(url, at("http://127.0.0.1:1/x"))
    assert gone.status_code == 400 and "image: it cannot be fetched" in gone.json()["error"]["message"]
