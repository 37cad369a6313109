"""OpenAI's own client against deployments of the mock and the echo engine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest

from tests.integration.dynamo import Dynamo
from tests.supervisor.harness import gone

pytestmark = pytest.mark.slow

TOPOLOGY = """
name = "client"
[frontend]
port = 0
[workers.mock]
engine = "mock"
model = "HuggingFaceTB/SmolLM2-135M-Instruct"
[workers.mock.options]
speedup_ratio = 0
[workers.echo]
engine = "echo"
model = "org/echo"
"""
MOCK, ECHO = "HuggingFaceTB/SmolLM2-135M-Instruct", "org/echo"
HELLO: list[Any] = [{"role": "user", "content": "Hello there, ☂ 🦀"}]
KINDS = ("sync", "async")


class Server(NamedTuple):
    url: str


@pytest.fixture(scope="module")
def server(session_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = session_home / "client"
    (home / "run").mkdir(parents=True, mode=0o700)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("DYN_", "DYNAMO_"))}
    environ |= {"DYNAMO_HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")}
    dynamo = Dynamo(tmp_path_factory.mktemp("client"), environ)
    started = dynamo.run("up", "-d", dynamo.write(TOPOLOGY), timeout_s=60)
    assert started.code == 0, started
    yield Server(dynamo.status()["url"])
    assert dynamo.run("down").code == 0
    gone(home, 3.0)


class Client:
    """The synchronous or the asynchronous client behind one face."""

    def __init__(self, kind: str, url: str) -> None:
        maker = openai.OpenAI if kind == "sync" else openai.AsyncOpenAI
        self._make: Any = lambda: maker(base_url=f"{url}/v1", api_key="none", max_retries=0)
        self._sync = kind == "sync"

    def call(self, path: str, **fields: Any) -> Any:
        """The whole answer of `chat.completions.create` and the like; of a stream or a list all its items."""
        if self._sync:
            with self._make() as client:
                answer = _method(client, path)(**fields)
                return list(answer) if fields.get("stream") or path.endswith("list") else answer
        return asyncio.run(self._call(path, fields))

    async def _call(self, path: str, fields: dict[str, Any]) -> Any:
        async with self._make() as client:
            pending = _method(client, path)(**fields)
            if path.endswith("list"):
                return [item async for item in pending]
            answer = await pending
            return [item async for item in answer] if fields.get("stream") else answer


def _method(client: Any, path: str) -> Any:
    for name in path.split("."):
        client = getattr(client, name)
    return client


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, server: Server) -> Client:
    return Client(request.param, server.url)


def test_chat_streamed_and_not(client: Client) -> None:
    for model in (MOCK, ECHO):
        asked = {"model": model, "messages": HELLO, "max_tokens": 6}
        whole = client.call("chat.completions.create", **asked)
        assert whole.object == "chat.completion" and whole.usage.completion_tokens > 0
        options = {"include_usage": True}
        *chunks, last = client.call("chat.completions.create", stream=True, stream_options=options, **asked)
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        assert text == whole.choices[0].message.content
        assert chunks[0].choices[0].delta.role == "assistant"
        assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
        assert (last.choices, last.usage) == ([], whole.usage)


def test_several_choices_with_logprobs(client: Client) -> None:
    asked = {"model": MOCK, "messages": HELLO, "max_tokens": 5, "n": 3, "logprobs": True, "top_logprobs": 2}
    whole = client.call("chat.completions.create", **asked)
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    for choice in whole.choices:
        assert "".join(token.token for token in choice.logprobs.content) == choice.message.content
        assert all(len(token.top_logprobs) == 2 for token in choice.logprobs.content)
    assert whole.usage.completion_tokens == 15
    streamed: dict[int, list[Any]] = {0: [], 1: [], 2: []}
    for chunk in client.call("chat.completions.create", stream=True, **asked):
        for choice in chunk.choices:
            streamed[choice.index] += choice.logprobs.content if choice.logprobs else []
    assert list(streamed.values()) == [choice.logprobs.content for choice in whole.choices]


def test_completions(client: Client) -> None:
    asked = {"model": MOCK, "prompt": ["One ☂", "Two"], "max_tokens": 4, "logprobs": 2, "echo": True, "n": 2}
    whole = client.call("completions.create", **asked)
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
    for choice in whole.choices:
        prompt = asked["prompt"][choice.index // 2]
        assert choice.text.startswith(prompt) and len(choice.text) > len(prompt)
        logprobs = choice.logprobs
        answer = [at for at, logprob in enumerate(logprobs.token_logprobs) if logprob is not None]
        assert choice.text[logprobs.text_offset[answer[0]] :] == "".join(logprobs.tokens[at] for at in answer)
        assert len(answer) == 4 and len(logprobs.top_logprobs[answer[0]]) == 2
    texts = {at: "" for at in range(4)}
    for chunk in client.call("completions.create", stream=True, **asked):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert list(texts.values()) == [choice.text for choice in whole.choices]


def test_everything_the_client_can_say_is_taken(client: Client) -> None:
    answer = client.call(
        "chat.completions.create",
        model=MOCK,
        messages=[
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "user", "content": "What is 2 + 2?", "name": "ada"},
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}]},
            {"role": "tool", "content": "4", "tool_call_id": "1"},
        ],
        tools=[{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}],
        tool_choice="auto", parallel_tool_calls=True, max_completion_tokens=3, temperature=0.5, top_p=0.9, seed=7,
        presence_penalty=0.1, frequency_penalty=0.1, logit_bias={"5": 1}, user="ada", store=False, metadata={"a": "b"},
        service_tier="auto", stop=["zzz"], n=1, response_format={"type": "text"}, reasoning_effort="low",
        extra_body={"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1, "ignore_eos": True, "min_tokens": 1},
    )  # fmt: skip
    assert answer.usage.completion_tokens == 3


def test_models(client: Client) -> None:
    assert {model.id for model in client.call("models.list")} == {MOCK, ECHO}
    assert client.call("models.retrieve", model=MOCK).id == MOCK
    with pytest.raises(openai.NotFoundError):
        client.call("models.retrieve", model="org/none")


@pytest.mark.parametrize(
    ("error", "fields", "param", "code"),
    [
        (openai.NotFoundError, {"model": "org/none"}, None, "model_not_found"),
        (openai.BadRequestError, {"temperature": 3}, "temperature", None),
        (openai.BadRequestError, {"n": 0}, "n", None),
        (openai.BadRequestError, {"messages": [{"role": "user", "content": 5}]}, "messages[0].content", None),
        (openai.BadRequestError, {"max_tokens": 10**6}, "max_tokens", "context_length_exceeded"),
        (openai.BadRequestError, {"response_format": {"type": "json_object"}}, "response_format", None),
        (openai.BadRequestError, {"model": ECHO, "logprobs": True}, "logprobs", None),
        (openai.BadRequestError, {"extra_body": {"guided_regex": "a"}}, "guided_regex", None),
        (openai.BadRequestError, {"stream_options": {"include_usage": True}}, "stream_options", None),
        (openai.BadRequestError, {"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]},
            "messages[0].content[0]", None),
        (openai.InternalServerError, {"extra_body": {"nvext": {"backend_instance_id": "abc"}}}, None, "no_instances"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_the_clients_own(
    client: Client, stream: bool, error: type[openai.APIStatusError], fields: dict[str, Any], param: str, code: str
) -> None:
    if stream and "stream_options" in fields:
        pytest.skip("that is right in a stream")
    with pytest.raises(error) as caught:
        client.call("chat.completions.create", **{"model": MOCK, "messages": HELLO, "stream": stream, **fields})
    assert (caught.value.param, caught.value.code) == (param, code)
