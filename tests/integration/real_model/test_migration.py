"""A real engine goes on where another one was: at temperature 0 the text shows no seam."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.integration.answers import Answer, Load
from tests.integration.real_model.conftest import Agg

pytestmark = pytest.mark.slow

TOKENS = 64


@pytest.fixture(scope="module")
def two_workers(agg: Agg) -> Iterator[Agg]:
    assert agg.dynamo.run("scale", "decode=2").code == 0
    yield agg
    assert agg.dynamo.run("scale", "decode=1").code == 0


def greedy(agg: Agg, lose: Callable[[str], None] | None = None, **more: float) -> Answer:
    """`lose` gets the name of the worker that has said the first tokens."""
    body = {"model": agg.model, "prompt": "The three primary colours are", "temperature": 0, "max_tokens": TOKENS}
    load = Load(agg.url, [body | {"ignore_eos": True} | more])

    async def disturb() -> None:
        while len(load.answers[0].gaps) < 12:
            await asyncio.sleep(0.002)
        if lose is not None:
            await asyncio.to_thread(lose, load.answers[0].workers[0])

    return asyncio.run(load.run(disturb))[0]


def the_engine_of(worker: int) -> int:
    return max(psutil.Process(worker).children(recursive=True), key=lambda child: child.memory_info().rss).pid


@pytest.mark.parametrize(
    ("loses", "penalties"), [("worker", {}), ("engine", {"repetition_penalty": 1.3, "frequency_penalty": 0.5})]
)
def test_the_seam_is_exact(two_workers: Agg, loses: str, penalties: dict[str, float]) -> None:
    dynamo = two_workers.dynamo
    pids = {name: dynamo.pid(name) for name in ("decode-0", "decode-1")}
    victims = pids if loses == "worker" else {name: the_engine_of(pid) for name, pid in pids.items()}
    whole = greedy(two_workers, **penalties)
    cut = greedy(two_workers, lambda worker: os.kill(victims[worker], signal.SIGKILL), **penalties)
    assert len(cut.workers) == 2, "it did not move"
    assert (cut.error, cut.reason, cut.usage["completion_tokens"]) == ("", "length", TOKENS)
    assert cut.text == whole.text
    dynamo.until("READY", 30.0)
