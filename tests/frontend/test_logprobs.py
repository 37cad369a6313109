"""Logprobs in OpenAI's two forms."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from dynamo_cli.protocol.engine import UNKNOWN_LOGPROB, Delta, EngineRequest, TokenLogprob
from dynamo_cli.runtime.context import Context
from tests.frontend.capture import Asked, asking, chat, complete
from tests.frontend.toy import MODEL, Deployment

CAN = {"logprobs": True}


async def test_chat(bare: Deployment) -> None:
    asked = Asked()
    async with asking(bare, asked, **CAN) as http:
        body = await chat(http, logprobs=True, top_logprobs=2, max_tokens=2)
        (choice,) = body["choices"]
        first, second = choice["logprobs"]["content"]
        assert choice["logprobs"]["refusal"] is None
        assert (first["token"], first["bytes"], second["token"]) == ("u", [117], ":")
        assert first["logprob"] == first["top_logprobs"][0]["logprob"]
        assert [set(top) for top in first["top_logprobs"]] == [{"token", "logprob", "bytes"}] * 2
        assert (await chat(http, logprobs=True))["choices"][0]["logprobs"]["content"][0]["top_logprobs"] == []
        assert (await chat(http, logprobs=False))["choices"][0]["logprobs"] is None
        assert [request.output.logprobs for request in asked] == [2, 0, None]


async def test_completions(bare: Deployment) -> None:
    async with asking(bare, Asked(), **CAN) as http:
        (choice,) = (await complete(http, prompt="ab☂", logprobs=1))["choices"]
        logprobs = choice["logprobs"]
        assert logprobs["tokens"] == ["a", "b", "bytes:\\xe2", "bytes:\\x98", "bytes:\\x82"]
        assert logprobs["text_offset"] == [0, 1, 2, 2, 2]
        assert logprobs["top_logprobs"][0] == {"a": logprobs["token_logprobs"][0]}
        (none_else,) = (await complete(http, prompt="a", logprobs=0))["choices"]
        assert none_else["logprobs"]["top_logprobs"] == [{"a": none_else["logprobs"]["token_logprobs"][0]}]


async def test_the_prompt_that_is_echoed_has_none(bare: Deployment) -> None:
    async with asking(bare, Asked(), **CAN) as http:
        (choice,) = (await complete(http, prompt="a☂", logprobs=1, echo=True, max_tokens=1))["choices"]
        logprobs = choice["logprobs"]
        assert choice["text"] == "a☂a"
        assert logprobs["tokens"] == ["a", "bytes:\\xe2", "bytes:\\x98", "bytes:\\x82", "a"]
        assert logprobs["token_logprobs"][:4] == [None] * 4 == logprobs["top_logprobs"][:4]
        assert logprobs["token_logprobs"][4] < 0
        assert logprobs["text_offset"] == [0, 1, 1, 1, 2]


async def test_they_are_streamed_with_their_text_to_the_choice_they_are_of(bare: Deployment) -> None:
    async with asking(bare, Asked(), **CAN) as http:
        prompts = ['a"logprobs":null,"finish_reason":null', "☂cd", "xyz"]
        body = {"model": MODEL, "prompt": prompts, "logprobs": 2, "stream": True, "n": 2, "stop": "d"}
        answer = await http.post("/v1/completions", json=body)
    texts, tokens = {}, {}
    for line in answer.text.split("\n\n")[:-2]:
        (choice,) = json.loads(line[6:])["choices"]
        index, told = choice["index"], (choice["logprobs"] or {"tokens": []})["tokens"]
        texts[index] = texts.get(index, "") + choice["text"]
        tokens[index] = tokens.get(index, 0) + len(told)
        assert not choice["text"] or told
    assert texts == {at: prompts[at // 2].partition("d")[0] for at in range(6)}
    assert tokens == {at: len(text.encode()) for at, text in texts.items()}


async def test_everything_that_can_be_added_to_a_chunk_at_once(bare: Deployment) -> None:
    async with asking(bare, Asked(), **CAN) as http:
        options = {"include_usage": True, "continuous_usage_stats": True}
        nvext = {"extra_fields": ["worker_id", "timing"], "annotations": ["token_ids"]}
        body = {"model": MODEL, "prompt": '"}\n\n☂', "logprobs": 1, "n": 2, "echo": True, "stream": True}
        answer = await http.post("/v1/completions", json={**body, "stream_options": options, "nvext": nvext})
    annotation, *events, done, _ = answer.text.split("\n\n")
    assert annotation.startswith("event: token_ids\n: [") and done == "data: [DONE]"
    chunks = [json.loads(event[6:]) for event in events]
    assert all({"usage", "choices"} <= set(chunk) and "worker_id" in chunk["nvext"] for chunk in chunks)
    assert "timing" in chunks[-1]["nvext"] and chunks[-1]["choices"] == []
    texts, offsets = {0: "", 1: ""}, {0: [], 1: []}
    for chunk in chunks[:-1]:
        (choice,) = chunk["choices"]
        texts[choice["index"]] += choice["text"]
        offsets[choice["index"]] += (choice["logprobs"] or {"text_offset": []})["text_offset"]
    assert texts == dict.fromkeys((0, 1), body["prompt"] * 2)
    assert list(offsets.values()) == [[0, 1, 2, 3, 4, 4, 4, 5, 6, 7, 8, 9, 9, 9]] * 2


@pytest.mark.parametrize("told", [None, []])
async def test_an_engine_that_says_less_than_promised(bare: Deployment, told: Any) -> None:
    async def silent(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        yield Delta([65], logprobs=told)
        yield Delta([66], "stop", logprobs=[TokenLogprob(66, -1.0)])

    async with asking(bare, silent, **CAN) as http:
        (choice,) = (await complete(http, prompt="a", logprobs=1))["choices"]
        assert choice["logprobs"]["token_logprobs"] == [UNKNOWN_LOGPROB, -1.0]


async def test_all_workers_of_a_model_must_have_them(bare: Deployment) -> None:
    async with asking(bare, Asked(), **CAN) as http:
        assert "choices" in await chat(http, logprobs=True)
        await bare.add_worker()
        await bare.ready(2)
        assert (await chat(http, logprobs=True))["error"]["param"] == "logprobs"
