"""Answers that must have a form have it, however warm the sampling is."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from jsonschema import validate
from openai import BadRequestError, OpenAI

from tests.integration.real_model.conftest import Agg

pytestmark = pytest.mark.slow

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "color": {"enum": ["red", "green", "blue"]},
    },
    "required": ["name", "age", "color"],
    "additionalProperties": False,
}
ASK: list[Any] = [{"role": "user", "content": "Invent a person."}]


@pytest.fixture
def openai(agg: Agg) -> OpenAI:
    return OpenAI(base_url=f"{agg.url}/v1", api_key="none", max_retries=0)


def test_twenty_of_twenty_follow_the_schema(agg: Agg, openai: OpenAI) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}

    def ask(seed: int) -> str:
        answer = openai.chat.completions.create(
            model=agg.model, messages=ASK, response_format=form, temperature=1, max_tokens=80, seed=seed
        )
        assert answer.choices[0].finish_reason == "stop"
        return answer.choices[0].message.content or ""

    with ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(ask, range(20)))
    for text in texts:
        validate(json.loads(text), PERSON)
    assert len(set(texts)) > 10


def test_choices_expressions_and_grammars_streamed(agg: Agg, openai: OpenAI) -> None:
    for fields, form in (
        ({"guided_choice": ["yes", "no"]}, "yes|no"),
        ({"guided_regex": "[A-F]{4}"}, "[A-F]{4}"),
        ({"nvext": {"guided_grammar": 'root ::= "a" [0-9] "b"'}}, "a[0-9]b"),
    ):
        with openai.chat.completions.create(
            model=agg.model, messages=ASK, stream=True, n=3, temperature=1, seed=1, extra_body=fields
        ) as stream:
            texts = {0: "", 1: "", 2: ""}
            for chunk in stream:
                for choice in chunk.choices:
                    texts[choice.index] += choice.delta.content or ""
        assert all(re.fullmatch(form, text) for text in texts.values()), texts


def test_a_form_that_cannot_be_followed_is_a_bad_request(agg: Agg, openai: OpenAI) -> None:
    for fields, param, says in (
        ({"guided_json": {"$ref": "#/nowhere"}}, "guided_json", "cannot follow this JSON schema"),
        ({"guided_json": {"type": "objekt"}}, "guided_json.type", "want array"),
        ({"guided_regex": "(?=a)b"}, "guided_regex", "cannot follow this regular expression"),
        ({"nvext": {"guided_grammar": "root ::= ("}}, "nvext.guided_grammar", "parse grammar"),
    ):
        with pytest.raises(BadRequestError, match=f"{re.escape(param)}: .*{says}") as caught:
            openai.chat.completions.create(model=agg.model, messages=ASK, extra_body=fields)
        assert caught.value.param == param


def test_logprobs_of_the_real_model_spell_its_answer(agg: Agg, openai: OpenAI) -> None:
    answer = openai.chat.completions.create(
        model=agg.model, messages=ASK, logprobs=True, top_logprobs=3, max_tokens=20, temperature=0, stop="."
    )
    (choice,) = answer.choices
    assert choice.logprobs and choice.logprobs.content
    spelled = b"".join(bytes(token.bytes or []) for token in choice.logprobs.content)
    assert spelled == (choice.message.content or "").encode()
    assert all(token.logprob == token.top_logprobs[0].logprob <= 0 for token in choice.logprobs.content)
