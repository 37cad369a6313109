"""Many clients that leave at random moments while a worker goes and another comes: nothing may be left of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time

import pytest

from tests.frontend.toy import MODEL, Deployment, echo, endless
from tests.runtime.waiting import until

CLIENTS, SECONDS = 64, 1.5


async def churn(port: int, rng: random.Random, until_s: float) -> int:
    """Requests that were cut short or not, one connection each, until the time is up; returns how many."""
    count = 0
    while time.monotonic() < until_s:
        message = {"role": "user", "content": "hello" * rng.choice([1, 100])}
        body = json.dumps({"model": MODEL, "messages": [message], "stream": rng.random() < 0.8, "max_tokens": 50})
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: toy\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(f"{head}{body}".encode()[: rng.choice([50, None, None, None])])
        with contextlib.suppress(asyncio.TimeoutError, ConnectionError):
            await asyncio.wait_for(reader.read(rng.choice([1, 1000, 100_000])), rng.choice([0, 0.001, 0.02, 0.1]))
        writer.transport.abort()
        count += 1
    return count


async def test_nothing_is_left_of_clients_that_leave(bare: Deployment, caplog: pytest.LogCaptureFixture) -> None:
    await bare.start()
    first = await bare.add_worker(endless)
    await bare.add_worker(echo)
    await bare.ready(2)
    model = bare.frontend.models.get(MODEL)
    tasks = len(asyncio.all_tasks())
    end = time.monotonic() + SECONDS
    clients = [asyncio.create_task(churn(bare.port, random.Random(seed), end)) for seed in range(CLIENTS)]
    await asyncio.sleep(SECONDS / 3)
    await first.close()
    await asyncio.sleep(SECONDS / 3)
    await bare.add_worker(endless)
    assert sum(await asyncio.gather(*clients)) > CLIENTS
    await until(lambda: not bare.frontend.server.connections)
    assert model.dispatcher.inflight == {}
    assert (model.counts.inflight, model.counts.queued) == (0, 0)
    await until(lambda: len(asyncio.all_tasks()) <= tasks + 10)  # a third worker has its own few
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
