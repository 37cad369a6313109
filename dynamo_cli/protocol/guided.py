"""The many names OpenAI, the reference and vLLM have for guided decoding -> one form."""

from __future__ import annotations

from typing import Any

import msgspec

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.engine import GuidedDecoding
from dynamo_cli.protocol.json_schema import check_schema
from dynamo_cli.protocol.openai import GenerateRequest

MOST_BYTES = 1 << 16
_ANY_OBJECT = {"type": "object"}
_KINDS = ("json", "regex", "choice", "grammar")


def guided_of(request: GenerateRequest) -> tuple[GuidedDecoding, str] | None:
    """(the form the answer must have, the field that says so). Raises InvalidRequest naming the field."""
    found = [] if _plain(request) else _top_level(request)
    if request.nvext is not None:
        found += [(kind, value, f"nvext.{name}") for kind, value, name in _fields_of(request.nvext)]
    if not found:
        return None
    if len(found) > 1:
        names = " and ".join(name for *_, name in found)
        raise InvalidRequest(f"{names}: only one of them can guide an answer", found[1][2])
    ((kind, value, name),) = found
    guided = _guided(kind, value, name)
    # The form ends the text, so neither of these can be kept.
    for other in ("ignore_eos", "min_tokens"):
        if getattr(request, other):
            raise InvalidRequest(f"{other}: not together with {name}", other)
    return guided, name


def _plain(request: GenerateRequest) -> bool:
    """Nearly all requests, told in no time."""
    return (
        request.response_format is None
        and request.guided_json is None
        and request.guided_regex is None
        and request.guided_choice is None
        and request.guided_grammar is None
        and request.structured_outputs is None
    )


def _top_level(request: GenerateRequest) -> list[tuple[str, Any, str]]:
    found = _fields_of(request)
    if request.response_format is not None:
        found += _of_response_format(request.response_format)
    if request.structured_outputs is not None:
        found += _of_structured_outputs(request.structured_outputs)
    return found


def _fields_of(owner: Any) -> list[tuple[str, Any, str]]:
    names = [(kind, f"guided_{kind}") for kind in _KINDS]
    return [(kind, value, name) for kind, name in names if (value := getattr(owner, name)) is not None]


def _of_response_format(form: dict[str, Any]) -> list[tuple[str, Any, str]]:
    kind = form.get("type")
    if kind == "text":
        return []
    if kind == "json_object":
        return [("json", _ANY_OBJECT, "response_format")]
    if kind != "json_schema":
        want = "want text, json_object or json_schema"
        raise InvalidRequest(f"response_format.type: {want}, got {kind!r}", "response_format.type")
    named = form.get("json_schema")
    if not isinstance(named, dict) or not isinstance(named.get("schema"), dict):
        where = "response_format.json_schema" + (".schema" if isinstance(named, dict) else "")
        raise InvalidRequest(f"{where}: want an object", where)
    return [("json", named["schema"], "response_format.json_schema.schema")]


def _of_structured_outputs(asked: dict[str, Any]) -> list[tuple[str, Any, str]]:
    found = [(kind, asked[kind], f"structured_outputs.{kind}") for kind in _KINDS if asked.get(kind) is not None]
    if asked.get("json_object"):
        found.append(("json", _ANY_OBJECT, "structured_outputs.json_object"))
    return found


def _guided(kind: str, value: Any, where: str) -> GuidedDecoding:
    if kind == "json" and isinstance(value, str):
        value = _parsed(value, where)
    if len(msgspec.json.encode(value)) > MOST_BYTES:
        raise InvalidRequest(f"{where}: more than {MOST_BYTES >> 10} KiB", where)
    if kind == "json":
        check_schema(value, where)
    elif kind == "choice":
        if not isinstance(value, list) or not value or not all(isinstance(text, str) and text for text in value):
            raise InvalidRequest(f"{where}: want a list of texts, none of them empty", where)
        value = tuple(value)
    elif not isinstance(value, str) or not value.strip():
        raise InvalidRequest(f"{where}: want a text that is not empty", where)
    return GuidedDecoding(**{kind: value})


def _parsed(text: str, where: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(f"{where}: not valid JSON: {error}", where) from None
