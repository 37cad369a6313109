"""/openapi.json: built when it is asked for first."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from dynamo_cli import __version__
from dynamo_cli.frontend.gate import OPEN
from dynamo_cli.frontend.openapi.endpoints import ENDPOINTS, TAGS, Endpoint
from dynamo_cli.frontend.openapi.fields.field import Schema, ref
from dynamo_cli.frontend.openapi.schemas import event_name, schemas
from dynamo_cli.frontend.openapi.statuses import OF_HTTP, REQUEST_ID, UNAUTHORIZED, headers, response, responses

_JSON = "application/json"
_ABOUT = """OpenAI's API, served by Dynamo.

An error is `{"error": {"message", "type", "param", "code"}}` with the status it says; after the first byte of a stream
it is an event. Fields of requests that nobody knows are ignored, and null is the same as absent. What the engine behind
a model cannot do is refused, never ignored."""


def render(routes: set[tuple[str, str]], asks_keys: bool) -> bytes:
    """Of the endpoints behind these routes, by method and path. `asks_keys`: they want an API key."""
    return msgspec.json.encode(document([one for one in ENDPOINTS if one.routed in routes], asks_keys))


def document(endpoints: Sequence[Endpoint] = ENDPOINTS, asks_keys: bool = False) -> Schema:
    paths: dict[str, Schema] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, asks_keys)
    key = {"type": "http", "scheme": "bearer", "description": "One of the API keys the server was started with."}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Dynamo", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "security": [{"apiKey": []}] if asks_keys else [],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "responses": responses(),
            "headers": headers(),
            "securitySchemes": {"apiKey": key},
        },
    }


def _operation(endpoint: Endpoint, asks_keys: bool) -> Schema:
    operation: Schema = {"operationId": endpoint.id, "tags": [endpoint.tag], "summary": endpoint.summary}
    if endpoint.text:
        operation["description"] = endpoint.text
    is_open = endpoint.path in OPEN
    if asks_keys and is_open:
        operation["security"] = []
    operation["parameters"] = _parameters(endpoint)
    if endpoint.request is not None:
        operation["requestBody"] = _body(endpoint, endpoint.request)
    operation["responses"] = _responses(endpoint, asks_keys and not is_open)
    return operation


def _parameters(endpoint: Endpoint) -> list[Schema]:
    named = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": "The model's name.",
            "schema": {"type": "string", "minLength": 1},
        }
        for name in re.findall(r"\{(\w+)\}", endpoint.path)
    ]
    told = {
        **endpoint.headers,
        "X-Request-Id": "Visible ASCII of up to 128 bytes: the answer and the logs have it, too.",
    }
    return named + [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string"}} for name, text in told.items()
    ]


def _body(endpoint: Endpoint, request: type) -> Schema:
    content: Schema = {"schema": ref(request.__name__)}
    if endpoint.examples:
        content["examples"] = {
            re.sub(r"\W+", "-", name.lower()): {"summary": name, "value": value}
            for name, value in endpoint.examples.items()
        }
    return {"required": True, "content": {_JSON: content}}


def _responses(endpoint: Endpoint, needs_key: bool) -> Schema:
    errors = {*OF_HTTP, *endpoint.errors, *((UNAUTHORIZED,) if needs_key else ())}
    found = {status: response(status) for status in errors}
    found |= {status: _answer(endpoint, status, answer) for status, answer in endpoint.answers.items()}
    return {str(status): found[status] for status in sorted(found)}


def _answer(endpoint: Endpoint, status: int, answer: type | str) -> Schema:
    if isinstance(answer, str):
        content: Schema = {answer: {"schema": {"type": "object" if answer == _JSON else "string"}}}
    else:
        schema = ref(answer.__name__)
        content = {_JSON: {"schema": {"anyOf": [schema, ref("Error")]} if status in endpoint.errors else schema}}
    if endpoint.chunk is not None:
        content["text/event-stream"] = {"schema": ref(event_name(endpoint.chunk))}
    return {
        "description": "The answer." if status == 200 else "Not now.",
        "headers": REQUEST_ID,
        "content": content,
    }
