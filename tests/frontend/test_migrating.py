"""Migration as a frontend offers it: its options, its counts, and real streams that fall silent."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from dynamo_cli.errors import UsageError
from dynamo_cli.frontend.app import FrontendOptions
from dynamo_cli.frontend.migrating import add_migration_arguments, migration_options
from dynamo_cli.protocol.engine import Delta, EngineRequest
from dynamo_cli.protocol.instance import ModelIdentity
from dynamo_cli.routing.migration import MigrationOptions
from dynamo_cli.runtime.context import Context
from tests.frontend.metrics.test_endpoint import samples
from tests.frontend.toy import MODEL, Deployment, asyncio_deadline, echo, echo_text


def options(*arguments: str, **environ: str) -> MigrationOptions:
    parser = argparse.ArgumentParser()
    add_migration_arguments(parser)
    return migration_options(parser.parse_args(arguments), environ)


def test_options_come_from_the_command_line_then_the_environment() -> None:
    assert options() == MigrationOptions(limit=3, max_seq_len=None, silence_s=0.0)
    environ = {"DYN_MIGRATION_LIMIT": "0", "DYN_MIGRATION_MAX_SEQ_LEN": "4096"}
    assert options(**environ) == MigrationOptions(0, 4096)
    assert options("--migration-limit", "7", "--migration-max-seq-len", "9", **environ) == MigrationOptions(7, 9)
    assert options(DYN_HTTP_BACKEND_STREAM_TIMEOUT_SECS="2.5").silence_s == 2.5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DYN_MIGRATION_LIMIT", "many"),
        ("DYN_MIGRATION_LIMIT", "-1"),
        ("DYN_MIGRATION_MAX_SEQ_LEN", "0"),
        ("DYN_HTTP_BACKEND_STREAM_TIMEOUT_SECS", "-1"),
        ("DYN_HTTP_BACKEND_STREAM_TIMEOUT_SECS", "nan"),
        ("DYN_HTTP_BACKEND_STREAM_TIMEOUT_SECS", "soon"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"{name}.*{value}"):
        options(**{name: value})


class Hanging:
    """Says two tokens of the prompt, or two words, and then nothing until it is stopped."""

    def __init__(self) -> None:
        self.hanging = 0

    async def __call__(self, request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        if request.prompt is not None:
            yield Delta(text="two words ")
        else:
            yield Delta(request.token_ids[:2])
        self.hanging += 1
        while not context.stopped:
            await asyncio.sleep(0.005)
        self.hanging -= 1
        yield Delta(finish_reason="cancelled")


async def rest_of(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
    """Goes on with an echo of the prompt where the other worker was."""
    done = request.generated
    if done:
        prompt = request.token_ids[:-done]
        assert request.token_ids[-done:] == prompt[:done]
        request.token_ids = prompt[done:]
    async for delta in echo(request, context):
        yield delta


async def begun(
    bare: Deployment, http: httpx.AsyncClient, hanging: Hanging, body: dict[str, object]
) -> asyncio.Task[httpx.Response]:
    task = asyncio.create_task(http.post(f"{bare.url}/v1/completions", json=body))
    while not hanging.hanging:
        await asyncio.sleep(0.005)
    return task


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("prompt", "stop", "text"),
    [
        pytest.param("hello there", None, "hello the", id="plain"),
        pytest.param("☂ umbrella", None, "☂ umbre", id="a letter across the seam"),
        pytest.param("hello there", "el", "h", id="a stop string across the seam"),
    ],
)
async def test_a_silent_stream_goes_on_elsewhere(
    bare: Deployment, stream: bool, prompt: str, stop: str | None, text: str
) -> None:
    await bare.start(FrontendOptions(migration=MigrationOptions(silence_s=0.2)))
    hanging = Hanging()
    await bare.add_worker(hanging)
    await bare.ready()
    async with httpx.AsyncClient(trust_env=False) as http:
        body = {"model": MODEL, "prompt": prompt, "max_tokens": 9, "stop": stop, "stream": stream}
        task = await begun(bare, http, hanging, body | ({"stream_options": {"include_usage": True}} if stream else {}))
        await bare.add_worker(rest_of)
        answer = await task
        async with asyncio_deadline(0.5):  # sooner than a handler that ignores its context is cancelled
            while hanging.hanging:
                await asyncio.sleep(0.005)
        counts = samples((await http.get(f"{bare.url}/metrics")).text)
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")] or [
        answer.json()
    ]
    assert "".join(choice["text"] for event in events for choice in event["choices"]) == text
    assert events[-1]["usage"]["prompt_tokens"] == len(prompt.encode())
    assert stop or events[-1]["usage"]["completion_tokens"] == 9
    name = "model_migration_total"
    assert counts[name, frozenset({("model", MODEL), ("migration_type", "ongoing_request")})] == 1
    assert counts[name, frozenset({("model", MODEL), ("migration_type", "new_request")})] == 0
    assert counts["model_migration_max_seq_len_exceeded_total", frozenset({("model", MODEL)})] == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_text_begins_anew_when_no_client_has_seen_it(bare: Deployment, stream: bool) -> None:
    await bare.start(FrontendOptions(migration=MigrationOptions(silence_s=0.2)))
    hanging, text = Hanging(), ModelIdentity(input="text")
    await bare.add_worker(hanging, identity=text)
    await bare.ready()
    async with httpx.AsyncClient(trust_env=False) as http:
        task = await begun(bare, http, hanging, {"model": MODEL, "prompt": "say this again", "stream": stream})
        await bare.add_worker(echo_text, identity=text)
        answer = await task
    if stream:
        assert "two words" in answer.text
        assert "has sent nothing of the answer for 0.2 s" in answer.text
    else:
        assert answer.json()["choices"][0]["text"] == "say this again"


async def test_a_silent_stream_with_nowhere_to_go_is_a_504(bare: Deployment) -> None:
    await bare.start(FrontendOptions(migration=MigrationOptions(silence_s=0.1)))
    await bare.add_worker(Hanging())
    await bare.ready()
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{bare.url}/v1/completions", json={"model": MODEL, "prompt": "hello"})
    assert answer.status_code == 504
    assert "has sent nothing of the answer for 0.1 s" in answer.json()["error"]["message"]
