"""The worker host as a real process: what others see of it, from start to end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from dynamo_cli.errors import InvalidRequest, Overloaded, PlaneError
from dynamo_cli.protocol.engine import Delta, EngineRequest, SamplingOptions, StopConditions
from dynamo_cli.protocol.instance import ModelCard
from dynamo_cli.runtime.client import Client
from dynamo_cli.runtime.http.client import request
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.workers.model import PreparedModel
from tests.frontend.toy import asyncio_deadline
from tests.workers.processes import Worker, models, peer, worker

pytestmark = pytest.mark.slow
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


def echo(text: str) -> EngineRequest:
    return EngineRequest("echo", messages=[{"role": "user", "content": text}])


async def until(condition: Callable[[], Any], timeout_s: float = 5.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)
    return found


async def health(pid: int) -> dict[str, Any]:
    path = DeploymentPaths("local").runtime_dir / f"pid-{pid}.sock"
    try:
        async with await request(str(path), "GET", "/health") as answer:
            return {"code": answer.status, **json.loads(await answer.read())}
    except OSError:
        return {"status": "absent"}


async def health_becomes(pid: int, status: str) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while (found := await health(pid))["status"] != status:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.01)
    return found


async def ends(process: Worker, timeout_s: float = 5.0) -> int:
    await until(lambda: process.process.poll() is not None, timeout_s)
    return int(process.process.returncode)


async def text_of(client: Client, request: EngineRequest) -> str:
    return "".join([delta.text async for delta in client.random(request)])


async def test_an_echo_worker_serves_and_leaves_on_sigterm(clean_environment: Path) -> None:
    with worker(clean_environment, "worker", "--engine", "echo", "--store-kv", "file") as process:
        async with peer() as (runtime, client):
            await client.wait_for_instances(1, timeout_s=10)
            assert await text_of(client, echo(" a  b\n")) == " a  b\n"
            await until(lambda: client.instances())
            (card,) = [msgspec.msgpack.decode(value, type=ModelCard) for value in (await models(runtime)).values()]
            assert (card.name, card.engine, card.identity.input) == ("echo", "echo", "text")
            assert card.instance == client.instances()[0]
            assert card.instance.pid == process.pid
            assert (await health(process.pid))["instance"] == card.instance.hex_id
            process.process.terminate()
            assert await ends(process) == 0
            assert await models(runtime) == {}
            await until(lambda: not client.instances())
    assert not DeploymentPaths("local").runtime_dir.exists()


async def test_requests_that_cannot_be_right_are_refused_by_the_host(clean_environment: Path) -> None:
    with worker(clean_environment, "worker", "--engine", "echo"):
        async with peer() as (_, client):
            await client.wait_for_instances(1, timeout_s=10)
            with pytest.raises(InvalidRequest, match="neither"):
                await text_of(client, EngineRequest("echo"))
            request = echo("x")
            request.stop = StopConditions(max_tokens=0)
            with pytest.raises(InvalidRequest, match="max_tokens"):
                await text_of(client, request)


async def test_over_its_limit_a_worker_refuses_and_then_takes_requests_again(clean_environment: Path) -> None:
    limit = ("--engine-request-limit", "1")
    queue = {"DYN_DYNAMO_REQUEST_QUEUE_LIMIT": "0"}
    with worker(clean_environment, "worker", "--engine", "echo", "--delay-ms", "50", *limit, **queue):
        async with peer() as (_, client):
            await client.wait_for_instances(1, timeout_s=10)
            stream = client.random(echo("w " * 500))
            await stream.__anext__()
            with pytest.raises(Overloaded, match="limit of 1"):
                await text_of(client, echo("more"))
            await stream.aclose()  # type: ignore[attr-defined]
            async with asyncio_deadline(5):
                while True:
                    with contextlib.suppress(Overloaded):
                        assert await text_of(client, echo("more")) == "more"
                        break


async def test_sigterm_lets_running_requests_finish(clean_environment: Path) -> None:
    words = " ".join(str(n) for n in range(30))
    with worker(clean_environment, "worker", "--engine", "echo", "--delay-ms", "20") as process:
        async with peer() as (runtime, client):
            await client.wait_for_instances(1, timeout_s=10)
            stream = client.random(echo(words))
            got = [await stream.__anext__()]
            process.process.terminate()
            await health_becomes(process.pid, "draining")
            assert await models(runtime) == {}
            got += [delta async for delta in stream]
            assert "".join(delta.text for delta in got) == words
            assert got[-1].finish_reason == "stop"
            assert await ends(process) == 0


async def test_after_the_grace_running_requests_are_cancelled(clean_environment: Path) -> None:
    grace = {"DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT": "0.3"}
    with worker(clean_environment, "worker", "--engine", "echo", "--options", '{"delay_ms": 50}', **grace) as process:
        async with peer() as (_, client):
            await client.wait_for_instances(1, timeout_s=10)
            stream = client.random(echo("w " * 500))
            await stream.__anext__()
            process.process.terminate()
            with pytest.raises(PlaneError):
                last = [delta async for delta in stream][-1]
                assert last.finish_reason == "cancelled"
                raise PlaneError("cancelled, as good")
            assert await ends(process) == 0


async def test_a_second_signal_does_not_wait(clean_environment: Path) -> None:
    with worker(clean_environment, "worker", "--engine", "echo", "--delay-ms", "50") as process:
        async with peer() as (_, client):
            await client.wait_for_instances(1, timeout_s=10)
            stream = client.random(echo("w " * 500))
            await stream.__anext__()
            process.process.send_signal(signal.SIGINT)
            await health_becomes(process.pid, "draining")
            began = time.monotonic()
            process.process.send_signal(signal.SIGINT)
            assert await ends(process) == 130
            assert time.monotonic() - began < 2
            with pytest.raises(PlaneError):
                [delta async for delta in stream]


def custom(target: str, delay_s: float) -> list[str]:
    options = {"target": f"tests.workers.engines.theirs:{target}", "args": {"delay_s": delay_s}, "model_name": "echo"}
    return ["worker", "--engine", "custom", "--options", json.dumps(options)]


async def test_an_engine_that_ends_badly_harms_no_request_and_leaves_nothing(clean_environment: Path) -> None:
    words = " ".join(str(n) for n in range(20))
    with worker(clean_environment, *custom("Clumsy", 0.02)) as process:
        async with peer() as (_, client):
            await client.wait_for_instances(1, timeout_s=10)
            stream = client.random(echo(words))
            got = [await stream.__anext__()]
            process.process.terminate()
            await health_becomes(process.pid, "draining")
            got += [delta async for delta in stream]
            assert "".join(delta.text for delta in got).split() == words.split()[::-1]
            assert await ends(process) == 0
    assert "the engine could not drain: " in process.log and "ValueError: cannot drain" in process.log
    assert "the engine could not be stopped: " in process.log and "ValueError: cannot stop" in process.log
    assert "Traceback" not in process.log
    assert not list(DeploymentPaths("local").runtime_dir.glob("*.sock"))


async def test_an_engine_that_never_drains_ends_with_its_requests(clean_environment: Path) -> None:
    grace = {"DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT": "1"}
    with worker(clean_environment, *custom("Undrained", 0.0), **grace) as process:
        async with peer() as (_, client):
            await client.wait_for_instances(1, timeout_s=10)
            process.process.terminate()
            assert await ends(process) == 0
    assert "the engine has not drained in 1 s" in process.log


async def test_a_second_signal_does_not_wait_for_an_engine_that_never_drains(clean_environment: Path) -> None:
    with worker(clean_environment, *custom("Undrained", 0.0)) as process:
        async with peer() as (_, client):
            await client.wait_for_instances(1, timeout_s=10)
            process.process.terminate()
            await health_becomes(process.pid, "draining")
            process.process.terminate()
            assert await ends(process) == 130


async def test_kill_9_leaves_discovery_clean(clean_environment: Path) -> None:
    with worker(clean_environment, "worker", "--engine", "echo") as process:
        async with peer() as (_, client):
            await client.wait_for_instances(1, timeout_s=10)
            process.process.kill()
            process.process.wait()
            await until(lambda: not client.instances(), 3)


@pytest.mark.parametrize(
    ("argv", "code", "line"),
    [
        (["--engine", "ecko"], 2, "did you mean echo"),
        (["--engine", "sglang"], 5, "no adapter in this release"),
        (["--engine", "custom"], 2, "engine custom: this engine needs target"),
        (["--engine", "custom", "--target", "nowhere:X"], 2, "target nowhere:X: there is no module nowhere in"),
        (["--engine", "custom", "--options", '{"command": ["x"]}'], 2, "a command runs from a topology"),
        (["--engine", "custom", "--target", "json:dumps", "--spped", "1"], 2, "has no argument --spped"),
        (["--engine", "llamacpp", "--model", "No/Such-Model"], 5, "No/Such-Model is not on this disk"),
        (["--engine", "mock", "--model-path", "/no/such/file.gguf"], 5, "no such file"),
        (["--engine", "echo", "--options", '{"delay": 1}'], 2, "delay"),
        (["--engine", "echo", "--options", "{"], 2, "--options"),
        (["--engine", "echo", "--dilay-ms", "3"], 2, "did you mean --delay-ms"),
        (["--engine", "echo", "--tensor-parallel-size", "2"], 2, "must be 1"),
        (["--engine", "echo", "--endpoint", "nowhere"], 2, "namespace.component.endpoint"),
        (["--engine", "echo", "--store-kv", "etcd"], 2, "discovery backend 'etcd'"),
    ],
)
async def test_what_cannot_start_says_so_in_one_line(
    clean_environment: Path, argv: list[str], code: int, line: str
) -> None:
    with worker(clean_environment, "worker", *argv) as process:
        assert await ends(process, 10) == code
        *_, last = process.log.splitlines()
        assert last.startswith("dynamo: ") and line in last
        assert "Traceback" not in process.log


def test_the_module_runs_like_the_command() -> None:
    command = [sys.executable, "-m", "dynamo_cli.workers", "--engine", "ecko"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("dynamo: unknown engine 'ecko'; did you mean echo")


async def test_a_mock_worker_registers_only_when_it_has_generated(
    clean_environment: Path, default_model: PreparedModel
) -> None:
    with worker(clean_environment, "mocker", "--model", MODEL, "--startup-time", "0.5", "--speedup-ratio", "0") as one:
        async with peer() as (runtime, client):
            loading = await health_becomes(one.pid, "loading")
            assert loading["code"] == 503
            assert await models(runtime) == {} and not client.instances()
            await client.wait_for_instances(1, timeout_s=10)
            ready = await health_becomes(one.pid, "ready")
            assert (ready["code"], ready["model"], ready["engine"]) == (200, MODEL, "mock")
            (card,) = [msgspec.msgpack.decode(value, type=ModelCard) for value in (await models(runtime)).values()]
            assert card.identity.text_digest == default_model.text_digest
            assert card.identity.kv_block_size == 64
            assert (card.context_length, card.total_kv_blocks) == (8192, 16384)
            assert card.text_path == default_model.text_path
            assert psutil.Process(one.pid).memory_info().rss < 80 << 20

            request = EngineRequest(MODEL, [1] * 8000)
            deltas = [delta async for delta in client.random(request)]
            assert sum(len(delta.token_ids) for delta in deltas) == 192
            for token_ids, limit in (([1] * 8192, 1), ([1] * 8000, 193), ([], 5)):
                with pytest.raises(InvalidRequest):
                    [_ async for _ in client.random(EngineRequest(MODEL, token_ids, stop=StopConditions(limit)))]


async def test_sigterm_ends_a_worker_that_is_still_loading(
    clean_environment: Path, default_model: PreparedModel
) -> None:
    with worker(clean_environment, "mocker", "--model", MODEL, "--startup-time", "60") as process:
        await health_becomes(process.pid, "loading")
        process.process.terminate()
        assert await ends(process) == 0


def llamacpp_args(model: PreparedModel) -> list[str]:
    return ["worker", "--model", str(model.path), "--model-name", "tiny", "--max-model-len", "512", "-t", "1"]


async def test_auto_is_llamacpp_and_its_death_ends_the_worker(
    clean_environment: Path, default_model: PreparedModel
) -> None:
    with worker(clean_environment, *llamacpp_args(default_model)) as process:
        async with peer() as (_, client):
            await client.wait_for_instances(1, timeout_s=20)
            request = EngineRequest(
                "tiny", [1, 2683], sampling=SamplingOptions(0.0), stop=StopConditions(5, ignore_eos=True)
            )
            deltas: list[Delta] = [delta async for delta in client.random(request)]
            assert sum(len(delta.token_ids) for delta in deltas) == 5
            (child,) = psutil.Process(process.pid).children()
            child.kill()
            assert await ends(process) == 1
            assert process.log.splitlines()[-1] == "dynamo: llama.cpp was ended by SIGKILL"
            assert "no GPU here" in process.log
            await until(lambda: not client.instances())


async def test_kill_9_of_a_llamacpp_worker_ends_its_engine_too(
    clean_environment: Path, default_model: PreparedModel
) -> None:
    with worker(clean_environment, *llamacpp_args(default_model)) as process:
        async with peer() as (_, client):
            await client.wait_for_instances(1, timeout_s=20)
            (child,) = psutil.Process(process.pid).children()
            process.process.kill()
            process.process.wait()
            await until(lambda: not psutil.pid_exists(child.pid) or child.status() == psutil.STATUS_ZOMBIE, 2)
            assert not list(DeploymentPaths("local").runtime_dir.glob("llama-*"))
