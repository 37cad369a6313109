"""What color is the sky? Asked by everything that can ask."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from openai import OpenAI

from dynamo_cli.hub.catalogue import DEFAULT_MODEL
from dynamo_cli.text.bundle import TextBundle, load_bundle
from dynamo_cli.workers.model import prepare_model
from tests.integration.real_model.conftest import Agg

pytestmark = pytest.mark.slow

QUESTION = "What color is the sky?"
SKY = [{"role": "user", "content": QUESTION}]
GREEDY = {"temperature": 0, "max_tokens": 80}


@pytest.fixture
def openai(agg: Agg) -> OpenAI:
    return OpenAI(base_url=f"{agg.url}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def bundle(agg: Agg) -> TextBundle:
    return load_bundle(Path(prepare_model(DEFAULT_MODEL).text_path))


def whole(openai: OpenAI, model: str) -> str:
    answer = openai.chat.completions.create(model=model, messages=SKY, **GREEDY)
    return answer.choices[0].message.content or ""


def test_the_official_client_gets_a_sentence_with_blue_streamed_and_not(agg: Agg, openai: OpenAI) -> None:
    answer = whole(openai, agg.model)
    assert "blue" in answer and answer.count(" ") > 3
    with openai.chat.completions.create(model=agg.model, messages=SKY, stream=True, **GREEDY) as stream:
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert len([piece for piece in pieces if piece]) > 5
    assert "".join(pieces) == answer


def test_token_ids_give_the_same_answer_as_the_text(agg: Agg, openai: OpenAI, bundle: TextBundle) -> None:
    assert bundle.template is not None
    ids = bundle.encode_chat(bundle.template.render(SKY))
    other = [{"role": "user", "content": "This is not asked."}]
    by_ids = openai.chat.completions.create(
        model=agg.model, messages=other, extra_body={"nvext": {"token_data": ids}}, **GREEDY
    )
    assert by_ids.choices[0].message.content == whole(openai, agg.model)
    assert by_ids.usage and by_ids.usage.prompt_tokens == len(ids)


def test_completions_continue_text_and_token_ids_alike(agg: Agg, openai: OpenAI, bundle: TextBundle) -> None:
    prompt = "The capital of France is"
    asked = {"model": agg.model, "temperature": 0, "max_tokens": 8}
    answer = openai.completions.create(prompt=prompt, **asked).choices[0].text
    assert "Paris" in answer
    with openai.completions.create(prompt=prompt, stream=True, **asked) as stream:
        assert "".join(chunk.choices[0].text for chunk in stream) == answer
    ids = bundle.tokenizer.encode(prompt)
    assert openai.completions.create(prompt=ids, **asked).choices[0].text == answer


def test_dynamo_chat_prints_the_answer_alone(agg: Agg, openai: OpenAI) -> None:
    shown = agg.dynamo.run("chat", QUESTION, "--temperature", "0", "--max-tokens", "80")
    assert shown == (0, whole(openai, agg.model) + "\n", "")


def test_dynamo_bench_prints_json_alone(agg: Agg) -> None:
    measured = agg.dynamo.run("bench", "-n", "4", "-c", "2", "--isl", "8", "--osl", "8", "--json")
    assert measured.code == 0
    report = json.loads(measured.out)["points"][0]["report"]
    assert (report["ok"], report["errors"], report["completion_tokens"]) == (4, {}, 32)
