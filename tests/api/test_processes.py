"""Processes on the API, served and asked as users do it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dynamo_cli.api import Annotated, Client, Context, DistributedRuntime
from dynamo_cli.errors import Cancelled, EngineFailed, NoInstances, PlaneError
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage, StopConditions
from dynamo_cli.protocol.instance import MODELS_PREFIX, ModelCard
from dynamo_cli.runtime import runtime as inner
from dynamo_cli.runtime.admin import AdminServer
from dynamo_cli.runtime.config import RuntimeConfig
from dynamo_cli.runtime.http.client import request
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.workers.model import PreparedModel
from tests.documented import write_block
from tests.workers.conftest import default_model  # noqa: F401

pytestmark = pytest.mark.slow
ENDPOINT = "hello.backend.generate"
EXAMPLE = Path(__file__).parents[2] / "topologies" / "custom" / "hello_world.py"


class Running:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ends(self, code: int = 0) -> str:
        """What it wrote."""
        out, _ = self.process.communicate(timeout=15)
        assert self.process.returncode == code, out
        return out

    async def get(self, path: str) -> str:
        socket = DeploymentPaths("local").runtime_dir / f"pid-{self.process.pid}.sock"
        async with await request(str(socket), "GET", path) as answer:
            return (await answer.read()).decode()


@contextmanager
def running(*argv: str | Path) -> Iterator[Running]:
    command = [sys.executable, *(("-m", "tests.api.scripts") if isinstance(argv[0], str) else ()), *argv]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


@asynccontextmanager
async def runtime_of(home: Path) -> AsyncIterator[DistributedRuntime]:
    async with await inner.DistributedRuntime.create(RuntimeConfig.from_args()) as joined:
        runtime = DistributedRuntime(joined, AdminServer(home / "unused.sock"), 1.0)
        yield runtime
        await runtime.close()


@asynccontextmanager
async def client_of(home: Path, endpoint: str = ENDPOINT) -> AsyncIterator[Client]:
    async with runtime_of(home) as runtime:
        client = await runtime.endpoint(endpoint).client()
        await client.wait_for_instances(15)
        yield client


async def all_of(stream: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in stream]


async def test_hello_world_as_two_processes(clean_environment: Path) -> None:
    with running(EXAMPLE) as server, running(EXAMPLE, "ask") as client:
        out = await asyncio.to_thread(client.ends)
        assert out.splitlines() == ["Hello world!", "Hello sun!", "Hello moon!", "Hello star!"]
        server.process.terminate()
        await asyncio.to_thread(server.ends)
    assert not DeploymentPaths("local").runtime_dir.exists()


async def test_the_documented_endpoint(clean_environment: Path) -> None:
    script = write_block("custom_engine.md", "python", 1, "documented_hello.py")
    with running(script) as server:
        async with client_of(clean_environment) as client:
            assert [item.data() async for item in await client.generate("you")] == ["Hello you!"]
        assert 'team="a"' in await server.get("/metrics")


async def test_every_way_to_ask(clean_environment: Path) -> None:
    with running("serve") as server:
        async with client_of(clean_environment) as client:
            (instance,) = client.instance_ids()
            three = {"to": 3}
            items = await all_of(await client.generate(three))
            assert all(isinstance(item, Annotated) for item in items)
            assert [item.data()["number"] for item in items] == [0, 1, 2]
            for stream in (
                await client.random(three, annotated=False),
                await client.round_robin(three, annotated=False),
                await client.direct(three, instance, annotated=False),
            ):
                assert [item["number"] for item in await all_of(stream)] == [0, 1, 2]
            with pytest.raises(NoInstances):
                await all_of(await client.direct(three, 5))
            with pytest.raises(EngineFailed, match="ValueError: asked to"):
                await all_of(await client.generate("fail"))
            context = Context("my-id")
            stream = await client.generate({"to": 10**9}, annotated=False, context=context)
            assert (await anext(stream))["id"] == "my-id"
            context.stop_generating()
            with pytest.raises(Cancelled):
                await all_of(stream)
            assert await context.async_killed_or_stopped() and context.is_killed()
        health = msgspec.json.decode(await server.get("/health"))
        assert (health["status"], health["endpoints"], health["instance"]) == ("ready", [ENDPOINT], f"{instance:x}")
        metrics = (await server.get("/metrics")).splitlines()
        labels = 'dynamo_namespace="hello",dynamo_component="backend",dynamo_endpoint="generate",team="a\\"b"'
        assert f"dynamo_component_requests_total{{{labels}}} 6" in metrics
        assert f'dynamo_component_errors_total{{{labels},error_type="ValueError"}} 1' in metrics
        assert f"dynamo_component_inflight_requests{{{labels}}} 0" in metrics
        assert f'dynamo_component_request_duration_seconds_bucket{{{labels},le="+Inf"}} 6' in metrics


@pytest.mark.parametrize("name", ["serve", "cut"])
async def test_sigterm_lets_requests_end_or_cuts_them(clean_environment: Path, name: str) -> None:
    with running(name) as server:
        async with client_of(clean_environment) as client:
            stream = await client.generate({"to": 20, "pause_s": 0.02}, annotated=False)
            await anext(stream)
            server.process.terminate()
            if name == "serve":
                assert len(await all_of(stream)) == 19
            else:
                with pytest.raises(PlaneError):
                    await all_of(stream)
        assert "served" in await asyncio.to_thread(server.ends)


async def test_what_serves_nothing_ends_at_once_and_a_second_signal_cuts_the_draining(clean_environment: Path) -> None:
    with running("idle") as waiting:
        assert waiting.process.stdout is not None
        await asyncio.to_thread(waiting.process.stdout.readline)
        waiting.process.send_signal(signal.SIGINT)
        await asyncio.to_thread(waiting.ends)
    with running("serve") as server:
        async with client_of(clean_environment) as client:
            stream = await client.generate({"to": 10**6, "pause_s": 0.05})
            await anext(stream)
            server.process.terminate()
            while "draining" not in await server.get("/health"):
                await asyncio.sleep(0.01)
            server.process.terminate()
            await asyncio.to_thread(server.ends, 130)


async def test_nobody_is_sent_to_an_endpoint_that_fails_its_health_check(clean_environment: Path) -> None:
    with running("ill") as server:
        out = await asyncio.to_thread(server.ends, 1)
        assert out.splitlines()[-1] == "dynamo: the health check payload was not answered: no disk"
    with running("misnamed") as wrong:
        out = await asyncio.to_thread(wrong.ends, 2)
        assert out == "dynamo: endpoint 'nowhere' is not of the form namespace.component.endpoint\n"


async def card_of(runtime: DistributedRuntime) -> ModelCard:
    (value,) = (await runtime.joined.discovery.get_prefix(MODELS_PREFIX)).values()
    return msgspec.msgpack.decode(value, type=ModelCard)


async def answer(runtime: DistributedRuntime, asked: EngineRequest) -> list[Delta]:
    client = await runtime.joined.endpoint("dynamo.backend.generate").client(Delta)
    try:
        await client.wait_for_instances(1, 15)
        return await all_of(client.random(asked))
    finally:
        await client.close()


async def test_an_endpoint_can_serve_a_model_in_text(clean_environment: Path) -> None:
    with running("model") as server:
        async with runtime_of(clean_environment) as runtime:
            deltas = await answer(runtime, EngineRequest("shouter", prompt="a b c", stop=StopConditions(2)))
            assert [delta.text for delta in deltas] == ["A ", "B ", ""]
            assert (deltas[-1].finish_reason, deltas[-1].usage) == ("length", EngineUsage(3, 2))
            card = await card_of(runtime)
            assert (card.name, card.identity.input, card.types) == ("shouter", "text", ("chat", "completions"))
            server.process.terminate()
            await asyncio.to_thread(server.ends)
            assert await runtime.joined.discovery.get_prefix(MODELS_PREFIX) == {}


async def test_an_endpoint_can_serve_a_model_in_tokens(
    clean_environment: Path,
    default_model: PreparedModel,  # noqa: F811
) -> None:
    with running("tokens", os.fspath(default_model.path)):
        async with runtime_of(clean_environment) as runtime:
            deltas = await answer(runtime, EngineRequest("repeater", [5, 6, 7]))
            assert [token for delta in deltas for token in delta.token_ids] == ([5, 6, 7] * 21)[:61]
            assert deltas[-1].usage == EngineUsage(3, 61)
            card = await card_of(runtime)
            assert (card.context_length, card.text_path, card.types) == (64, default_model.text_path, ("completions",))
