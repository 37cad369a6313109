"""A streaming server in a process of its own that logs when it really had each request and sent each token.

    python -m tests.bench.exact TTFT_MS ITL_MS

Prints its port. Every answer names its own number as its worker; GET /truth gives, by that number, seconds from the
arrival of the request's last byte to each token's write.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from itertools import count
from typing import cast

from dynamo_cli.runtime.loop import run

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TOKEN = {"id": "chatcmpl-123", "object": "chat.completion.chunk", "created": 1, "model": "exact"}


class Exact(asyncio.Protocol):
    numbers = count()
    truth: dict[str, list[float]] = {}

    def __init__(self, ttft_s: float, itl_s: float) -> None:
        self._ttft_s = ttft_s
        self._itl_s = itl_s
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        head, blank, body = (self._rest + data).partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
        if not blank or len(body) < length:
            self._rest += data
            return
        self._rest = b""
        if head.startswith(b"GET /truth"):
            self._json(self.truth)
        elif head.startswith(b"GET"):
            self._json({"data": [{"id": "exact", "owned_by": "dynamo"}]})
        else:
            tokens = json.loads(body)["max_tokens"]
            asyncio.get_running_loop().create_task(self._answer(str(next(self.numbers)), now, tokens))

    def _json(self, value: object) -> None:
        data = json.dumps(value).encode()
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data))

    async def _answer(self, number: str, arrived: float, tokens: int) -> None:
        times = self.truth[number] = []
        for index in range(tokens):
            due = arrived + self._ttft_s + index * self._itl_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            delta = [{"index": 0, "delta": {"content": f" w{index}"}, "finish_reason": None}]
            extension = {"nvext": {"worker_id": {"decode_worker_id": number}}} if not index else {}
            event = self._event({**TOKEN, "choices": delta, **extension})
            times.append(time.perf_counter() - arrived)
            self._transport.write((HEAD if not index else b"") + event)
        finish = [{"index": 0, "delta": {}, "finish_reason": "length"}]
        usage = {"prompt_tokens": 1, "completion_tokens": tokens}
        end = self._event({**TOKEN, "choices": finish}) + self._event({**TOKEN, "choices": [], "usage": usage})
        self._transport.write(end + self._chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    def _event(self, value: object) -> bytes:
        return self._chunk(b"data: %b\n\n" % json.dumps(value).encode())

    def _chunk(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data)


async def serve(ttft_s: float, itl_s: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Exact(ttft_s, itl_s), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    run(serve(float(sys.argv[1]) / 1e3, float(sys.argv[2]) / 1e3))
