"""Guided decoding: every way to ask for it, and what is refused."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.engine import GuidedDecoding
from dynamo_cli.protocol.json_schema import check_schema
from tests.frontend.capture import HELLO, Asked, asking, chat, complete
from tests.frontend.toy import MODEL, Deployment

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
OF_SCHEMA = "response_format.json_schema.schema"
CAN = {"guided": ("json", "regex", "choice", "grammar")}


def of_schema(schema: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}}


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        ({}, None),
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": {"type": "json_object"}}, GuidedDecoding(json={"type": "object"})),
        (of_schema(SCHEMA), GuidedDecoding(json=SCHEMA)),
        ({"guided_json": SCHEMA}, GuidedDecoding(json=SCHEMA)),
        ({"guided_json": '{"type": "null"}'}, GuidedDecoding(json={"type": "null"})),
        ({"guided_regex": "a+"}, GuidedDecoding(regex="a+")),
        ({"guided_choice": ["a", "☂"]}, GuidedDecoding(choice=("a", "☂"))),
        ({"guided_grammar": "root ::= x"}, GuidedDecoding(grammar="root ::= x")),
        ({"structured_outputs": {"regex": "b"}}, GuidedDecoding(regex="b")),
        ({"structured_outputs": {"json_object": True}}, GuidedDecoding(json={"type": "object"})),
        ({"nvext": {"guided_choice": ["y"]}}, GuidedDecoding(choice=("y",))),
        ({"nvext": {"guided_json": SCHEMA}, "n": 2}, GuidedDecoding(json=SCHEMA)),
    ],
)
async def test_it_reaches_the_engine(bare: Deployment, sent: dict[str, Any], arrives: GuidedDecoding | None) -> None:
    asked = Asked()
    async with asking(bare, asked, **CAN) as http:
        assert "choices" in await chat(http, **sent)
        assert "choices" in await complete(http, prompt="a", **sent)
    assert [request.guided for request in asked] == [arrives] * (2 * sent.get("n", 1))


@pytest.mark.parametrize(
    ("sent", "param", "says"),
    [
        ({"response_format": {"type": "yaml"}}, "response_format.type", "json_schema"),
        ({"response_format": {}}, "response_format.type", "None"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "object"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, OF_SCHEMA, "object"),
        (of_schema({"type": "objekt"}), f"{OF_SCHEMA}.type", "integer"),
        (of_schema({"properties": {"a": {"items": 5}}}), f"{OF_SCHEMA}.properties.a.items", "object"),
        ({"guided_json": "{"}, "guided_json", "JSON"),
        ({"guided_json": 5}, "guided_json", "object"),
        ({"guided_json": {"enum": []}}, "guided_json.enum", "empty"),
        ({"guided_json": {"anyOf": [{}, {"maxLength": -1}]}}, "guided_json.anyOf[1].maxLength", ">= 0"),
        ({"guided_json": {"description": "x" * 70_000}}, "guided_json", "64 KiB"),
        ({"guided_regex": ""}, "guided_regex", "empty"),
        ({"guided_regex": ["a"]}, "guided_regex", "str"),
        ({"guided_choice": []}, "guided_choice", "empty"),
        ({"guided_choice": ["a", ""]}, "guided_choice", "empty"),
        ({"structured_outputs": {"choice": "ab"}}, "structured_outputs.choice", "list"),
        ({"nvext": {"guided_regex": " "}}, "nvext.guided_regex", "empty"),
        ({"guided_regex": "a", "guided_choice": ["b"]}, "guided_choice", "only one"),
        ({"guided_regex": "a", "nvext": {"guided_regex": "a"}}, "nvext.guided_regex", "only one"),
        ({"guided_regex": "a", "ignore_eos": True}, "ignore_eos", "together"),
        ({"guided_regex": "a", "min_tokens": 1}, "min_tokens", "together"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named(bare: Deployment, sent: dict[str, Any], param: str, says: str) -> None:
    async with asking(bare, Asked(), **CAN) as http:
        answer = await http.post("/v1/chat/completions", json={"model": MODEL, "messages": HELLO, **sent})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert says in error["message"]


def test_a_schema_of_any_depth_is_refused_in_one_line() -> None:
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"items": deep}
    with pytest.raises(InvalidRequest, match="64 levels"):
        check_schema(deep, "s")


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"guided_regex": "a"}, "guided_regex"),
        ({"nvext": {"guided_choice": ["a"]}}, "nvext.guided_choice"),
    ],
)
async def test_an_engine_that_cannot_is_not_asked(http: httpx.AsyncClient, sent: dict[str, Any], field: str) -> None:
    error = (await chat(http, **sent))["error"]
    assert error["param"] == field
    assert error["message"].startswith(f"{field}: the engine of model {MODEL} cannot hold an answer to a ")
