"""The component schemas: of the types that read requests, of the answers, of what is checked by hand."""

from __future__ import annotations

from typing import Any

import msgspec

from dynamo_cli.frontend.openapi.answers import Error
from dynamo_cli.frontend.openapi.endpoints import ENDPOINTS, FIELDS
from dynamo_cli.frontend.openapi.fields.field import Field, Schema, ref
from dynamo_cli.frontend.openapi.shapes import shapes

_NULL = {"type": "null"}
END_OF_STREAM = "[DONE]"


def schemas() -> dict[str, Schema]:
    """By name."""
    kinds = [kind for kind in _kinds() if isinstance(kind, type)]
    _, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    found = {**{name: _tidy(schema) for name, schema in components.items()}, **shapes()}
    for kind, name in _requests(components).items():
        _describe(found[name]["properties"], _fields_of(kind))
    for endpoint in ENDPOINTS:
        if endpoint.chunk is not None:
            found[event_name(endpoint.chunk)] = _event(endpoint.chunk)
    return dict(sorted(found.items()))


def event_name(chunk: type) -> str:
    return f"{chunk.__name__.removesuffix('Chunk')}Event"


def _kinds() -> list[Any]:
    """All types that endpoints name; those inside them come along."""
    kinds: list[Any] = [Error]
    for endpoint in ENDPOINTS:
        kinds += [endpoint.request, endpoint.chunk, *endpoint.answers.values()]
    return list(dict.fromkeys(kinds))


def _requests(components: dict[str, Any]) -> dict[type, str]:
    return {kind: kind.__name__ for kind in FIELDS if kind.__name__ in components}


def _fields_of(kind: type) -> dict[str, Field]:
    """Its own and those it inherits."""
    fields: dict[str, Field] = {}
    for base in reversed(kind.__mro__):
        fields |= FIELDS.get(base, {})
    return fields


def _describe(properties: dict[str, Schema], fields: dict[str, Field]) -> None:
    """In place. A field that is told nothing of stays as its type has it."""
    for name, schema in properties.items():
        field = fields.get(name)
        if field is None:
            continue
        if field.schema is not None:
            schema = _or_null(field.schema) if _takes_null(schema) else field.schema
        told: Schema = {**schema, "description": field.text}
        if field.default is not None:
            told["default"] = field.default
        if field.example is not None:
            told["examples"] = [field.example]
        properties[name] = told


def _event(chunk: type) -> Schema:
    """An event of a stream as a client of server-sent events sees it."""
    return {
        "type": "object",
        "description": f"A server-sent event. The last one is `data: {END_OF_STREAM}`; an error after the first byte "
        "is an event, too. Comments come in between.",
        "required": ["data"],
        "properties": {
            "data": {
                "type": "string",
                "description": f"JSON, or {END_OF_STREAM} at the end.",
                "anyOf": [
                    {"const": END_OF_STREAM},
                    {"contentMediaType": "application/json", "contentSchema": ref(chunk.__name__)},
                    {"contentMediaType": "application/json", "contentSchema": ref("Error")},
                ],
            }
        },
    }


def _tidy(schema: Any) -> Any:
    """A type or null as one list of types; no titles, and no defaults of null: absent is what null means."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {
        name: {key: _tidy(value) for key, value in inner.items()} if name == "properties" else _tidy(inner)
        for name, inner in schema.items()
        if name != "title" and not (name == "default" and inner is None)
    }
    if all(isinstance(value, str) for value in tidy.get("enum", (None,))):
        tidy["type"] = "string"
    choices = tidy.get("anyOf")
    if isinstance(choices, list) and len(choices) == 2 and choices[1] == _NULL:
        return {**{name: value for name, value in tidy.items() if name != "anyOf"}, **_or_null(choices[0])}
    return tidy


def _or_null(schema: Schema) -> Schema:
    if _takes_null(schema):
        return schema
    if "$ref" in schema:
        return {"anyOf": [schema, _NULL]}
    wider: Schema = {}
    if "enum" in schema:
        wider["enum"] = [*schema["enum"], None]
    if "type" in schema:
        wider["type"] = [schema["type"], "null"]
    return {**schema, **wider}


def _takes_null(schema: Schema) -> bool:
    if not {"type", "anyOf", "enum", "$ref"} & schema.keys():
        return True
    types = schema.get("type", [])
    return "null" in ([types] if isinstance(types, str) else types) or (
        None in schema.get("enum", ()) or any(_takes_null(choice) for choice in schema.get("anyOf", ()))
    )
