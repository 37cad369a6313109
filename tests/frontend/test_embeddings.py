"""/v1/embeddings: inputs in all of OpenAI's forms, vectors as numbers and bytes, and what is refused."""

from __future__ import annotations

import base64
import struct
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.decode import MAX_CHOICES, decode_embedding
from dynamo_cli.protocol.engine import Delta, EngineRequest, EngineUsage
from dynamo_cli.protocol.instance import ModelIdentity
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.embedding import packed
from tests.frontend.described import problems
from tests.frontend.toy import MODEL, Deployment, echo

SIZE, CONTEXT = 3, 40
VECTORS = ModelIdentity(text_digest="toy", embedding_size=SIZE)


async def letters(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
    """How many tokens, the first and the last one: as many numbers as asked for."""
    assert request.embedding is not None
    ids = request.token_ids
    vector = [float(len(ids)), float(ids[0]), float(ids[-1])][: request.embedding.dimensions]
    yield Delta(finish_reason="stop", usage=EngineUsage(len(ids), 0), vector=packed(vector))


@pytest.fixture
async def vectors(bare: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    await bare.start()
    await bare.add_worker(letters, identity=VECTORS, types=("embeddings",), dimensions=True, context=CONTEXT)
    await bare.ready()
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as client:
        yield client


async def ask(http: httpx.AsyncClient, given: Any, **more: Any) -> httpx.Response:
    return await http.post("/v1/embeddings", json={"model": MODEL, "input": given, **more})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("abc", [[3, 64, 66]]),
        (["abc", "b"], [[3, 64, 66], [1, 65, 65]]),
        ([64, 65], [[2, 64, 65]]),
        ([[64], [7, 8, 9]], [[1, 64, 64], [3, 7, 9]]),
    ],
)
async def test_each_input_has_its_vector(vectors: httpx.AsyncClient, given: Any, expected: list[list[float]]) -> None:
    answer = (await ask(vectors, given)).json()
    assert not problems("EmbeddingList", answer)
    first = await vectors.post("/tokenize", json={"prompt": "a"})
    shift = first.json()["tokens"][0] - 64
    if isinstance(given, str) or isinstance(given[0], str):
        expected = [[length, head + shift, tail + shift] for length, head, tail in expected]
    assert [one["embedding"] for one in answer["data"]] == expected
    assert [one["index"] for one in answer["data"]] == list(range(len(expected)))
    tokens = sum(one[0] for one in expected)
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert answer["model"] == MODEL


async def test_bytes_are_the_same_numbers(vectors: httpx.AsyncClient) -> None:
    answer = (await ask(vectors, [[1, 2], [3]], encoding_format="base64", dimensions=2)).json()
    assert not problems("EmbeddingList", answer)
    told = [struct.unpack("<2f", base64.b64decode(one["embedding"])) for one in answer["data"]]
    assert told == [(2, 1), (1, 3)]


async def test_many_inputs_keep_their_order(vectors: httpx.AsyncClient) -> None:
    given = [[n % 200 + 1] * (n % 5 + 1) for n in range(300)]
    answer = (await ask(vectors, given)).json()
    assert [one["embedding"] for one in answer["data"]] == [[len(ids), ids[0], ids[0]] for ids in given]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"input": ""}, "input: want text or token ids, got nothing"),
        ({"input": []}, "input: want text or token ids, got nothing"),
        ({"input": ["a", 1]}, "input: want text, token ids, or a list of one of them"),
        ({"input": ["a", ""]}, "input: there is nothing to make a vector of"),
        ({"input": [9999]}, "input: 9999 is no token of the model"),
        ({"input": "a" * (CONTEXT + 1)}, f"input: {CONTEXT + 1} tokens are more than the model's context of {CONTEXT}"),
        ({"input": "a", "dimensions": SIZE + 1}, f"dimensions: the vectors of model {MODEL} have {SIZE} at most"),
        ({"input": "a", "dimensions": 0}, "dimensions: expected `int` >= 1"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format: invalid enum value 'hex'"),
        ({"input": "a", "truncate_prompt_tokens": 3}, "truncate_prompt_tokens: not supported"),
        ({}, "input: this field is required"),
    ],
)
async def test_what_cannot_be_is_one_line(vectors: httpx.AsyncClient, body: dict[str, Any], why: str) -> None:
    refused = await vectors.post("/v1/embeddings", json={"model": MODEL, **body})
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith(why)
    assert (await ask(vectors, "a" * CONTEXT)).status_code == 200


async def test_other_dimensions_need_an_engine_that_can(bare: Deployment) -> None:
    await bare.start()
    await bare.add_worker(letters, identity=VECTORS, types=("embeddings",))
    await bare.ready()
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as http:
        assert (await ask(http, "a", dimensions=SIZE)).status_code == 200
        refused = await ask(http, "a", dimensions=2)
    assert refused.json()["error"]["message"] == f"dimensions: the vectors of model {MODEL} have 3, no others"


async def test_each_kind_of_model_names_the_way_to_it(bare: Deployment) -> None:
    await bare.start()
    await bare.add_worker(letters, identity=VECTORS, types=("embeddings",))
    await bare.add_worker(echo, name="talks")
    await bare.ready()
    await bare.ready(name="talks")
    chat = {"messages": [{"role": "user", "content": "hi"}]}
    wrong: list[tuple[str, str, dict[str, Any], str]] = [
        ("chat/completions", MODEL, chat, "chat; use /v1/embeddings"),
        ("completions", MODEL, {"prompt": "hi"}, "completions; use /v1/embeddings"),
        ("embeddings", "talks", {"input": "hi"}, "embeddings; use /v1/chat/completions or /v1/completions"),
    ]
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as http:
        for path, model, body, why in wrong:
            refused = await http.post(f"/v1/{path}", json={"model": model, **body})
            assert refused.status_code == 400
            assert refused.json()["error"]["message"] == f"model {model} does not serve {why}"
        missing = await http.post("/v1/embeddings", json={"model": "nobody", "input": "hi"})
    assert missing.status_code == 404


async def test_a_worker_that_fails_fails_the_whole_answer(bare: Deployment) -> None:
    async def third_fails(request: EngineRequest, context: Context) -> AsyncIterator[Delta]:
        if request.token_ids == [3]:
            raise InvalidRequest("not this one")
        async for delta in letters(request, context):
            yield delta

    await bare.start()
    await bare.add_worker(third_fails, identity=VECTORS, types=("embeddings",))
    await bare.ready()
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as http:
        assert (await ask(http, [[1], [2], [3]])).status_code == 400
        assert (await ask(http, [[1], [2]])).status_code == 200
        counted = (await http.get("/metrics")).text
    for status in ('error_type="validation"', 'status="success"'):
        lines = [line for line in counted.splitlines() if 'endpoint="embeddings"' in line and status in line]
        assert lines, status


@given(st.lists(st.lists(st.integers(0, 2**32 - 1)), min_size=1, max_size=5) | st.lists(st.text(), min_size=1))
def test_what_is_a_list_of_inputs_is_read_as_it_is(given: list[Any]) -> None:
    body = msgspec.json.encode({"model": "m", "input": given})
    assert decode_embedding(body).inputs() == given


def test_too_many_inputs() -> None:
    with pytest.raises(InvalidRequest, match=f"at most {MAX_CHOICES}"):
        decode_embedding(msgspec.json.encode({"model": "m", "input": ["a"] * (MAX_CHOICES + 1)}))
