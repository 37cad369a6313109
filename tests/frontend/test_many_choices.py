"""`n`: several choices of one prompt."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from dynamo_cli.errors import EngineFailed
from dynamo_cli.protocol.engine import Delta, EngineRequest, TokenLogprob
from dynamo_cli.runtime.context import Context
from tests.frontend.capture import HELLO, Asked, asking, chat, complete
from tests.frontend.toy import MODEL, Deployment, endless
from tests.runtime.waiting import until


async def test_a_seed_of_its_own_for_each_choice(bare: Deployment) -> None:
    asked = Asked()
    async with asking(bare, asked) as http:
        body = await complete(http, prompt=["ab", "cde"], n=3, seed=2**63 - 2)
        assert [(c["index"], c["text"]) for c in body["choices"]] == [
            (0, "ab"), (1, "ab"), (2, "ab"), (3, "cde"), (4, "cde"), (5, "cde"),
        ]  # fmt: skip
        seeds = [2**63 - 2, 2**63 - 1, -(2**63)]
        assert sorted(r.sampling.seed or 0 for r in asked) == sorted(seeds * 2)
        assert body["usage"] == {
            "prompt_tokens": 5,
            "completion_tokens": 15,
            "total_tokens": 20,
            "prompt_tokens_details": {"cached_tokens": 6},
        }
        asked.clear()
        assert len((await chat(http, n=2, best_of=2))["choices"]) == 2
        assert [request.sampling.seed for request in asked] == [None, None]


async def test_the_prompt_of_many_choices_is_tokenized_once(
    http: httpx.AsyncClient, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model,) = deployment.frontend.models
    assert model.bundle is not None
    encode, seen = model.bundle.tokenizer.encode, []

    def remember(text: str, **options: bool) -> list[int]:
        seen.append(text)
        return encode(text, **options)

    monkeypatch.setattr(model.bundle.tokenizer, "encode", remember)
    body = await chat(http, n=128, max_tokens=1)
    assert [choice["index"] for choice in body["choices"]] == list(range(128))
    assert len(seen) == 1


async def test_many_choices_are_streamed_with_one_end(http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/v1/chat/completions",
        json={
            "model": MODEL,
            "messages": HELLO,
            "n": 3,
            "stream": True,
            "stop": ";",
            "stream_options": {"include_usage": True},
        },
    )
    *chunks, done, end = answer.text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    texts: dict[int, str] = {}
    reasons = {}
    *chunks_with_choice, last = [json.loads(chunk[6:]) for chunk in chunks]
    for chunk in chunks_with_choice:
        (choice,) = chunk["choices"]
        texts[choice["index"]] = texts.get(choice["index"], "") + choice["delta"].get("content", "")
        reasons[choice["index"]] = choice["finish_reason"]
    assert texts == dict.fromkeys(range(3), "u:hello")
    assert reasons == dict.fromkeys(range(3), "stop")
    assert last["usage"]["prompt_tokens"] == 10


async def last_one_first(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
    """The greater the seed, the sooner it answers."""
    await asyncio.sleep(0.02 * (3 - (request.sampling.seed or 0)))
    token = request.token_ids[0]
    logprobs = None if request.output.logprobs is None else [TokenLogprob(token, -0.5)]
    yield Delta([token], logprobs=logprobs)
    await asyncio.sleep(0.05)
    yield Delta([token], finish_reason="stop", logprobs=logprobs)


async def test_the_choices_of_a_chat_begin_together_and_in_order(bare: Deployment) -> None:
    async with asking(bare, last_one_first) as http:
        body = {"model": MODEL, "messages": HELLO, "n": 3, "seed": 1, "stream": True}
        options = {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}
        told = {"nvext": {"extra_fields": ["worker_id"]}}
        for more in ({}, options, told):
            answer = await http.post("/v1/chat/completions", json=body | more)
            chunks = [json.loads(event[6:]) for event in answer.text.split("\n\n")[:-2]]
            choices = [choice for chunk in chunks for choice in chunk["choices"]]
            assert [choice["index"] for choice in choices[:4]] == [0, 1, 2, 2]
            begun = {"role": "assistant", "content": ""}
            assert [choice["delta"] for choice in choices[:4]] == [begun, begun, begun, {"content": "u"}]
            assert all(("usage" in chunk) == (more is options) for chunk in chunks)
            assert ["nvext" in chunk for chunk in chunks[:4]] == [False, False, False, more is told]


async def test_the_official_client_puts_several_streamed_choices_together(bare: Deployment) -> None:
    async with (
        asking(bare, last_one_first, logprobs=True),
        openai.AsyncOpenAI(base_url=f"{bare.url}/v1", api_key="none", max_retries=0) as client,
    ):
        messages: Any = HELLO
        async with client.chat.completions.stream(model=MODEL, messages=messages, n=3, seed=1, logprobs=True) as stream:
            whole = await stream.get_final_completion()
    assert [(choice.index, choice.message.content) for choice in whole.choices] == [(at, "uu") for at in range(3)]
    assert [len(choice.logprobs.content or ()) for choice in whole.choices if choice.logprobs] == [2, 2, 2]


async def test_leaving_cancels_all_choices(bare: Deployment) -> None:
    await bare.start()
    served = await bare.add_worker(endless)
    await bare.ready()
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as http:
        body = {"model": MODEL, "prompt": "A", "n": 4}
        work = asyncio.create_task(http.post("/v1/completions", json=body))
        await until(lambda: served.inflight == 4)
        work.cancel()
        await until(lambda: served.inflight == 0)


async def test_one_choice_that_fails_fails_the_answer(bare: Deployment) -> None:
    async def third_fails(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        if request.sampling.seed == 2:
            raise EngineFailed("out of luck")
        async for delta in endless(request, context):
            yield delta

    await bare.start()
    served = await bare.add_worker(third_fails)
    await bare.ready()
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as http:
        body = await complete(http, prompt="A", n=4, seed=0)
        assert body["error"]["message"] == "out of luck"
        await until(lambda: served.inflight == 0)


@pytest.mark.parametrize("stream", [False, True])
async def test_choices_are_independent(bare: Deployment, stream: bool) -> None:
    async def by_seed(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        """Of every seed another text, of another length, in other pieces, some ended by a stop string."""
        seed = request.sampling.seed or 0
        said = (f"<{seed}>" * seed + ("#" if seed % 2 else "") + "end").encode()
        ids = [letters[byte] for byte in said]
        for at in range(0, len(ids), seed + 1):
            yield Delta(ids[at : at + seed + 1])
            await asyncio.sleep(0.001 * (seed % 3))
        yield Delta(finish_reason="stop")

    async with asking(bare, by_seed) as http:
        (model,) = bare.frontend.models
        assert model.bundle is not None
        letters = {ord(letter): model.bundle.tokenizer.encode(letter)[0] for letter in "<>0123456789#end"}
        body = {"model": MODEL, "prompt": "a", "seed": 1, "n": 8, "stop": ["#e"], "stream": stream}
        answer = await http.post("/v1/completions", json=body)
    texts = dict.fromkeys(range(8), "")
    parts = [answer.text] if not stream else [part[6:] for part in answer.text.split("\n\n")[:-2]]
    for part in parts:
        for choice in json.loads(part)["choices"]:
            texts[choice["index"]] += choice["text"]
    assert texts == {at: f"<{at + 1}>" * (at + 1) + ("end" if at % 2 else "") for at in range(8)}
