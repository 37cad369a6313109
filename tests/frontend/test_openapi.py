"""/openapi.json and /docs: the document is right in itself, knows every route and field, and costs nothing unasked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from dynamo_cli.errors import DynamoError
from dynamo_cli.frontend.app import FrontendOptions
from dynamo_cli.frontend.gate import Gate
from dynamo_cli.frontend.openapi.document import document, render
from dynamo_cli.frontend.openapi.endpoints import ENDPOINTS, FIELDS, PRIVATE
from dynamo_cli.runtime.http.keys import ApiKeys
from tests.frontend.described import problems
from tests.frontend.toy import Deployment

DOCUMENT = document()
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = [(path, method) for path, item in DOCUMENT["paths"].items() for method in item]


def inside(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in it, those of examples apart."""
    if isinstance(value, dict):
        yield value
        for name, member in value.items():
            if name != "examples":
                yield from inside(member)
    elif isinstance(value, list):
        for member in value:
            yield from inside(member)


async def test_every_route_is_described_and_nothing_else_is(bare: Deployment) -> None:
    await bare.start()
    routed = set(bare.frontend.routes) - PRIVATE
    described = {endpoint.routed for endpoint in ENDPOINTS}
    place = "dynamo_cli/frontend/openapi/endpoints.py"
    assert not routed - described, f"add an Endpoint to {place} for {sorted(routed - described)}"
    assert not described - routed, f"{place} describes what no route answers: {sorted(described - routed)}"


async def test_what_is_not_served_is_not_described(bare: Deployment) -> None:
    await bare.start()
    routes = set(bare.frontend.routes) - {("POST", "/tokenize")}
    assert "/tokenize" in json.loads(render({*routes, ("POST", "/tokenize")}, False))["paths"]
    assert "/tokenize" not in json.loads(render(routes, False))["paths"]


def test_references_lead_somewhere() -> None:
    for one in inside(DOCUMENT):
        if isinstance(reference := one.get("$ref"), str):
            at: Any = DOCUMENT
            for step in reference.removeprefix("#/").split("/"):
                assert step in at, reference
                at = at[step]


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_schemas(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])


def test_operations_have_names_of_their_own() -> None:
    names = [DOCUMENT["paths"][path][method]["operationId"] for path, method in OPERATIONS]
    assert len(set(names)) == len(names)
    assert {tag for endpoint in ENDPOINTS for tag in [endpoint.tag]} <= {tag["name"] for tag in DOCUMENT["tags"]}


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
def test_each_field_of_a_request_is_told_of(kind: Any) -> None:
    bases = [base for base in kind.__mro__[1:] if base in FIELDS]
    own = set(kind.__struct_fields__) - {name for base in bases for name in base.__struct_fields__}
    assert own == set(FIELDS[kind]), f"the fields of {kind.__name__} and those told of in openapi/fields/ differ"


@pytest.mark.parametrize("name", sorted(SCHEMAS.keys() - {"JsonSchema"}))
def test_each_member_has_a_description(name: str) -> None:
    for one in inside(SCHEMAS[name]):
        for member, schema in one.get("properties", {}).items():
            assert "description" in schema, f"{name}: {member}"


def test_defaults_and_examples_are_valid() -> None:
    components = {"components": DOCUMENT["components"]}
    for one in inside(DOCUMENT):
        for value in [*one.get("examples", []), *([one["default"]] if "default" in one else [])]:
            if {"type", "anyOf", "enum", "$ref"} & one.keys():
                Draft202012Validator({**one, **components}).validate(value)
    for endpoint in ENDPOINTS:
        for example in endpoint.examples.values():
            assert endpoint.request is not None
            assert not problems(endpoint.request.__name__, example), endpoint.path


def test_requests_are_open_and_their_optional_fields_take_null() -> None:
    """Those of OpenAI's clients are. A setting with a wrong name would silently be none, so there they are not."""
    for endpoint in ENDPOINTS:
        if endpoint.request is not None and endpoint.tag != "Load":
            schema = SCHEMAS[endpoint.request.__name__]
            assert "additionalProperties" not in schema
            optional = [name for name in schema["properties"] if name not in schema.get("required", ())]
            minimal = next(iter(endpoint.examples.values()))
            assert not problems(endpoint.request.__name__, {**dict.fromkeys(optional), **minimal, "unknown": 1}, False)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_errors_of_every_operation(path: str, method: str) -> None:
    """What the tree of errors can answer a request with, a status of its own meaning apart."""
    statuses = {int(status) for status in DOCUMENT["paths"][path][method]["responses"]}
    assert {200, 400, 405, 408, 413, 414, 415, 431, 500} <= statuses
    if path in ("/v1/chat/completions", "/v1/completions"):
        never = {499}  # nobody is there to see it
        assert {error.status for error in inside_tree(DynamoError)} - never - {401} <= statuses


def inside_tree(root: type[DynamoError]) -> Iterator[type[DynamoError]]:
    yield root
    for child in root.__subclasses__():
        yield from inside_tree(child)


async def test_both_pages_need_no_key_and_say_that_the_others_do(bare: Deployment) -> None:
    await bare.start(FrontendOptions(gate=Gate(ApiKeys([b"secret"]))))
    async with httpx.AsyncClient(base_url=bare.url, trust_env=False) as http:
        assert (await http.get("/docs")).status_code == 200
        answer = await http.get("/openapi.json")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        told = answer.json()
        assert told["security"] == [{"apiKey": []}]
        for endpoint in ENDPOINTS:
            operation = told["paths"][endpoint.path][endpoint.method.lower()]
            path = endpoint.path.replace("{model}", "some")
            asked = await http.request(endpoint.method, path, json={} if endpoint.request else None)
            assert (asked.status_code == 401) == (operation.get("security") != []) == ("401" in operation["responses"])
            if asked.status_code == 401:
                assert "www-authenticate" in asked.headers
                assert not problems("Error", asked.json())


async def test_without_keys_nothing_is_said_of_them(http: httpx.AsyncClient) -> None:
    told = (await http.get("/openapi.json")).json()
    assert told == json.loads(json.dumps(DOCUMENT))
    assert told["security"] == []
    assert not any("401" in operation["responses"] for item in told["paths"].values() for operation in item.values())


async def test_the_page_fetches_nothing_from_elsewhere(http: httpx.AsyncClient) -> None:
    answer = await http.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.findall(r"https?://|\bsrc=|@import|\burl\(", answer.text)
    assert (await http.get("/docs/")).text == answer.text


def test_nothing_is_made_or_imported_before_it_is_asked_for() -> None:
    code = "import dynamo_cli.frontend.app, sys; print(*[name for name in sys.modules if '.openapi.' in name])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == ["dynamo_cli.frontend.openapi.pages"]
