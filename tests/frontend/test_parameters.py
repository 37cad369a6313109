"""What of a request reaches the engine."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from dynamo_cli.protocol.engine import SamplingOptions
from dynamo_cli.protocol.instance import ModelIdentity
from dynamo_cli.protocol.openai import ChatRequest, CompletionRequest
from tests.frontend.capture import Asked, asking, chat, complete
from tests.frontend.toy import CONTEXT, MODEL, Deployment, echo_text


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        ({"temperature": 0.0, "top_p": 0.5}, {"temperature": 0.0, "top_p": 0.5}),
        ({"top_k": -1, "min_p": 0}, {"top_k": -1, "min_p": 0.0}),
        ({"top_k": 0}, {"top_k": 0}),
        ({"seed": -(2**63)}, {"seed": -(2**63)}),
        ({"seed": 2**63 - 1}, {"seed": 2**63 - 1}),
        ({"presence_penalty": -2, "frequency_penalty": 2, "repetition_penalty": 1.5},
         {"presence_penalty": -2.0, "frequency_penalty": 2.0, "repetition_penalty": 1.5}),
        ({"logit_bias": {"5": -100, "256": 1.5}}, {"logit_bias": {5: -100.0, 256: 1.5}}),
        ({"temperature": 1.5, "nvext": {"greed_sampling": True}}, {"temperature": 0.0}),
        ({"nvext": {"max_thinking_tokens": 5, "cache_salt": "x", "agent_hints": {"priority": 1}}}, {}),
    ],
)  # fmt: skip
async def test_sampling(bare: Deployment, sent: dict[str, Any], arrives: dict[str, Any]) -> None:
    asked = Asked()
    async with asking(bare, asked) as http:
        await chat(http, **sent)
    assert asked.only.sampling == SamplingOptions(**arrives)


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5, "stop_token_ids": (256,)}),
        ({"max_tokens": 5, "max_completion_tokens": 7}, {"max_tokens": 7}),
        ({}, {"max_tokens": CONTEXT - 10, "min_tokens": 0}),
        ({"min_tokens": 3, "stop_token_ids": [65]}, {"min_tokens": 3, "stop_token_ids": (256, 65)}),
        ({"ignore_eos": True, "stop_token_ids": [65]}, {"ignore_eos": True, "stop_token_ids": (65,)}),
        ({"stop": ["x"]}, {"stop": ()}),
    ],
)
async def test_stop_conditions(bare: Deployment, sent: dict[str, Any], arrives: dict[str, Any]) -> None:
    asked = Asked()
    async with asking(bare, asked) as http:
        await chat(http, **sent)
    assert {name: getattr(asked.only.stop, name) for name in arrives} == arrives


@pytest.mark.parametrize("kind", [ChatRequest, CompletionRequest])
async def test_null_means_absent_for_every_field(http: httpx.AsyncClient, kind: type) -> None:
    nulls = {name: None for name in kind.__struct_fields__ if name not in ("model", "messages", "prompt")}
    ask, prompt = (chat, {}) if kind is ChatRequest else (complete, {"prompt": "hello"})
    body = await ask(http, **prompt, **nulls, nobody_knows=1)  # type: ignore[operator]
    assert body["choices"][0]["finish_reason"] == "length"
    nested = {"nvext": dict.fromkeys(("token_data", "annotations", "guided_json")), "stream_options": None}
    assert "choices" in await ask(http, **prompt, **nested)  # type: ignore[operator]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stop_string_may_be_shown_and_may_have_to_wait(bare: Deployment, stream: bool) -> None:
    asked = Asked()
    async with asking(bare, asked) as http:
        for fields, text in (
            ({"stop": ["cd", "zz"]}, "ab"),
            ({"stop": ["cd", "zz"], "include_stop_str_in_output": True}, "abcd"),
            ({"stop": "cd", "min_tokens": 3}, "abcdab"),
            ({"stop": "cd", "min_tokens": 2}, "ab"),
            ({"stop": "cd", "min_tokens": 5, "include_stop_str_in_output": True}, "abcdabcd"),
            ({"stop": "cd", "min_tokens": 7}, "abcdabcd"),
        ):
            body = {"model": MODEL, "prompt": "abcdabcd", "stream": stream, **fields}
            answer = await http.post("/v1/completions", json=body)
            assert _text_of(answer) == text, fields


def _text_of(answer: httpx.Response) -> str:
    if not answer.text.startswith("data: "):
        return str(answer.json()["choices"][0]["text"])
    events = [json.loads(line[6:]) for line in answer.text.split("\n\n")[:-2]]
    return "".join(event["choices"][0]["text"] for event in events)


async def test_a_text_worker_leaves_a_stop_string_that_is_shown_to_the_frontend(bare: Deployment) -> None:
    async with asking(bare, echo_text, identity=ModelIdentity(input="text")) as http:
        shown = await complete(http, prompt="one two three", stop="two", include_stop_str_in_output=True)
        assert shown["choices"][0]["text"] == "one two"
        late = await complete(http, prompt="one two three", stop="two", min_tokens=1)
        assert late["choices"][0]["text"] == "one "
        echoed = await complete(http, prompt="one two", echo=True)
        assert echoed["choices"][0]["text"] == "one twoone two"
        parts = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]
        assert (await chat(http, messages=parts))["choices"][0]["message"]["content"] == "a\nb"
        for fields in (
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            {"add_generation_prompt": False},
            {"chat_template_kwargs": {"a": 1}},
        ):
            assert (await chat(http, **fields))["error"]["param"] == next(iter(fields))
        refused = await chat(http, nvext={"use_raw_prompt": True})
        assert refused["error"]["param"] == "nvext.use_raw_prompt"


async def test_usage_so_far_in_every_chunk(bare: Deployment) -> None:
    async with asking(bare, Asked()) as http:
        options = {"include_usage": True, "continuous_usage_stats": True}
        body = {"model": MODEL, "prompt": 'a"}\n\n', "stream": True, "stream_options": options}
        answer = await http.post("/v1/completions", json=body)
        chunks = [json.loads(line[6:]) for line in answer.text.split("\n\n")[:-2]]
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert counts == sorted(counts) and counts[-1] == 5
    assert {chunk["usage"]["prompt_tokens"] for chunk in chunks} == {5}
    assert chunks[-1]["choices"] == []


async def test_echo_shows_the_prompt_first(bare: Deployment) -> None:
    async with asking(bare, Asked()) as http:
        body = await complete(http, prompt=["ab☂", "c"], echo=True, max_tokens=1, stop="b")
        assert [choice["text"] for choice in body["choices"]] == ["ab☂a", "cc"]
        assert body["usage"]["completion_tokens"] == 2
        ids = (await http.post("/tokenize", json={"model": MODEL, "prompt": "x☂"})).json()["tokens"]
        body = await complete(http, prompt=ids, echo=True, max_tokens=1)
        assert body["choices"][0]["text"] == "x☂x"


TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


async def test_what_the_template_gets(bare: Deployment) -> None:
    asked = Asked()
    bare.bundle.joinpath("chat_template.jinja").write_text(
        "{{ tools | map(attribute='function') | map(attribute='name') | join if tools else '-' }}"
        "{{ documents[0].text if documents else '-' }}"
        "{% for m in messages %}<{{ m.role }} {{ m.name }}{{ m.tool_call_id }} {{ m.content }}>{% endfor %}"
        "{{ '?' if add_generation_prompt }}{{ extra }}"
    )
    talk = [{"role": "user", "content": "u", "name": "n"}, {"role": "assistant", "content": "so far "}]
    tool = [{"role": "tool", "content": "4", "tool_call_id": "7"}]
    async with asking(bare, asked) as http:
        for fields, prompt in (
            ({"messages": talk}, "--<user n u><assistant  so far >?"),
            ({"messages": talk, "continue_final_message": True}, "--<user n u><assistant  so far "),
            ({"messages": talk, "add_generation_prompt": False}, "--<user n u><assistant  so far >"),
            ({"messages": tool, "tools": [TOOL]}, "f-<tool 7 4>?"),
            ({"messages": tool, "tools": [TOOL], "tool_choice": "none"}, "--<tool 7 4>?"),
            ({"messages": tool, "documents": [{"text": "d"}]}, "-d<tool 7 4>?"),
            ({"messages": tool, "chat_template_kwargs": {"extra": "e", "self": 1, "messages": []}},
             "--<tool 7 4>?e"),
            ({"messages": talk, "nvext": {"use_raw_prompt": True}}, "u\nso far "),
        ):  # fmt: skip
            body = await chat(http, **fields)
            assert body["choices"][0]["message"]["content"] == prompt, fields
