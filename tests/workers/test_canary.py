from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from dynamo_cli.errors import UsageError
from dynamo_cli.protocol.engine import Delta, EngineRequest, StopConditions
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.canary import Canary, canary_request
from dynamo_cli.workers.canary_options import CanaryOptions, canary_options
from dynamo_cli.workers.engine import EngineInfo
from dynamo_cli.workers.model import PreparedModel
from tests.workers.processes import peer, worker
from tests.workers.served import CARD, ObedientEngine, World
from tests.workers.test_host import health_becomes, llamacpp_args

QUICK = CanaryOptions(True, 0.05, 0.2)


async def until(reached: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not reached():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


class Watched:
    def __init__(self) -> None:
        self.world = World()
        self.engine = ObedientEngine()
        self.canary = Canary(
            self.engine.generate, canary_request("base", EngineInfo(), QUICK), self.world.registration, QUICK
        )

    async def __aenter__(self) -> Watched:
        await self.world.registration.begin(CARD)
        self.canary.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.canary.close()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("hung", "the engine gave no token in 0.2 s"),
        ("broken", "the engine gave no token: no memory"),
        ("mute", "the engine ended a request without a token"),
    ],
)
async def test_an_idle_engine_that_gives_no_token_is_out_until_it_does(state: str, words: str) -> None:
    async with Watched() as watched:
        engine, world = watched.engine, watched.world
        await until(lambda: len(engine.asked) > 1)
        assert world.served.registered and engine.asked[0].token_ids == [1] and engine.asked[0].stop.max_tokens == 1
        engine.state = state
        await until(lambda: not world.served.registered)
        assert world.registration.why_out == words and watched.canary.failures
        assert engine.abandoned or state != "hung"
        engine.state = "well"
        await until(lambda: world.served.registered)
        assert world.changes[-1] == ""


async def test_while_discovery_cannot_be_written_it_tries_to_come_back(caplog: pytest.LogCaptureFixture) -> None:
    async with Watched() as watched:
        engine, served = watched.engine, watched.world.served
        engine.state = "mute"
        await until(lambda: not served.registered)
        served.unwritable, engine.state = True, "well"
        deltas = watched.canary.listening(engine.generate(EngineRequest("base", [1]), Context()))
        assert [delta.token_ids async for delta in deltas] == [[5], []]
        await until(lambda: "stays out of rotation: cannot write to discovery" in caplog.text)
        served.unwritable = False
        await until(lambda: served.registered)


async def test_any_token_brings_it_back_and_keeps_it_from_being_asked() -> None:
    async with Watched() as watched:
        watched.engine.state = "mute"
        await until(lambda: not watched.world.served.registered)

        async def tokens() -> AsyncIterator[Delta]:
            yield Delta([1])
            asked = len(watched.engine.asked)
            for _ in range(20):
                await asyncio.sleep(0.01)
                yield Delta([1])
            assert len(watched.engine.asked) <= asked + 1

        deltas = watched.canary.listening(tokens())
        await deltas.__anext__()
        assert watched.world.served.registered
        assert len([delta async for delta in deltas]) == 20


async def test_a_resting_engine_is_not_asked() -> None:
    async with Watched() as watched:
        await watched.world.registration.leave("sleep", "it sleeps")
        await asyncio.sleep(0)
        asked = len(watched.engine.asked)
        await asyncio.sleep(0.3)
        assert len(watched.engine.asked) <= asked + 1


def test_the_payload_is_a_request_in_the_references_words_or_ours(tmp_path: Path) -> None:
    text = (
        '{"token_ids": [3, 4], "sampling_options": {"temperature": 0.5, "top_k": null}, '
        '"stop_conditions": {"max_tokens": 2}, "eos_token_ids": [2], "annotations": []}'
    )
    (tmp_path / "payload").write_text(text)
    by_variable = canary_options(None, {"DYN_HEALTH_CHECK_PAYLOAD": f"@{tmp_path}/payload"})
    assert by_variable == canary_options(text, {"DYN_HEALTH_CHECK_PAYLOAD": "nonsense"})
    request = canary_request("m", EngineInfo(), by_variable)
    assert (request.model, request.token_ids, request.stop.max_tokens) == ("m", [3, 4], 2)
    assert request.sampling.temperature == 0.5 and not by_variable.enabled
    assert canary_request("m", EngineInfo(input="text"), CanaryOptions()).messages
    assert canary_request("m", EngineInfo(embedding_size=3), CanaryOptions()).embedding is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "--health-check-payload: "),
        ("[]", "want a JSON object"),
        ("{}", "want token_ids, a prompt or messages"),
        ('{"token_ids": ["a"]}', "token_ids"),
        ("@/no/such/file", "No such file"),
    ],
)
def test_a_wrong_payload_is_one_line(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        canary_options(text, {})
    assert "\n" not in str(error.value)


@pytest.mark.slow
async def test_a_stopped_engine_process_puts_the_worker_out_of_rotation(
    clean_environment: Path, default_model: PreparedModel
) -> None:
    variables = {
        "DYN_HEALTH_CHECK_ENABLED": "1",
        "DYN_CANARY_WAIT_TIME": "0.3",
        "DYN_HEALTH_CHECK_REQUEST_TIMEOUT": "2",
    }
    with worker(clean_environment, *llamacpp_args(default_model), **variables) as process:
        async with peer() as (_, client):
            await client.wait_for_instances(1, timeout_s=20)
            (child,) = psutil.Process(process.pid).children()
            child.send_signal(signal.SIGSTOP)
            try:
                health = await health_becomes(process.pid, "notready")
                assert health["code"] == 503 and health["reason"] == "the engine gave no token in 2 s"
                await until(lambda: not client.instances())
            finally:
                child.send_signal(signal.SIGCONT)
            await health_becomes(process.pid, "ready")
            await client.wait_for_instances(1, timeout_s=10)
            two = StopConditions(2, ignore_eos=True)
            deltas = [delta async for delta in client.random(EngineRequest("tiny", [1, 2], stop=two))]
            assert sum(len(delta.token_ids) for delta in deltas) == 2
            process.process.terminate()
            assert process.process.wait(10) == 0
