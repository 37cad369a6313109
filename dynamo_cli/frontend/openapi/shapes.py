"""Parts of requests that the code checks by hand, as schemas: messages, tools, forms of answers."""

from __future__ import annotations

from dynamo_cli.frontend.openapi.fields.field import Schema, ref
from dynamo_cli.protocol.json_schema import COUNTS, DEEPEST, NAMED_SCHEMAS, NUMBERS, SCHEMA_LISTS, SCHEMAS, TYPES
from dynamo_cli.protocol.media import PARTS
from dynamo_cli.protocol.messages import ROLES

BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$"
MEDIA_URL = r"^(?:[hH][tT][tT][pP][sS]?|[fF][iI][lL][eE]|[dD][aA][tT][aA]):"

_TEXT = {"type": "string", "minLength": 1}


def shapes() -> dict[str, Schema]:
    """By the names of their components."""
    return {**_messages(), **_tools(), **_forms(), "JsonSchema": _json_schema()}


def _object(text: str, required: tuple[str, ...], /, **properties: Schema) -> Schema:
    schema: Schema = {"type": "object", "description": text, "properties": properties}
    return {**schema, "required": list(required)} if required else schema


def _messages() -> dict[str, Schema]:
    parts = {"type": "array", "items": ref("ContentPart")}
    said = "What was said."
    rest: dict[str, Schema] = {
        "name": {"type": ["string", "null"], "description": "The speaker's own name."},
        "tool_calls": {
            "type": ["array", "null"],
            "items": ref("ToolCall"),
            "description": "The functions the model called.",
        },
        "tool_call_id": {"type": ["string", "null"], "description": "Of a tool's message: the call it answers."},
    }
    return {
        "Message": {
            "description": "One turn of a conversation.",
            "oneOf": [ref("AssistantMessage"), ref("OtherMessage")],
        },
        "AssistantMessage": _object(
            "What the model said: text, calls of tools, or both.",
            ("role",),
            role={"const": "assistant", "description": "Who speaks."},
            content={"anyOf": [{"type": "string"}, parts, {"type": "null"}], "description": said},
            **rest,
        ),
        "OtherMessage": _object(
            "What anybody but the model said.",
            ("role", "content"),
            role={"enum": sorted(ROLES - {"assistant"}), "description": "Who speaks."},
            content={"anyOf": [{"type": "string"}, parts], "description": said},
            **rest,
        ),
        "ContentPart": {
            "description": "Text, or what the model's card says it takes besides.",
            "oneOf": [
                _part("text", "A piece of text."),
                _part("refusal", "What the model refused with."),
                *(_media(name, kind) for name, kind in PARTS.items() if name != "input_audio"),
                _input_audio(),
            ],
        },
    }


def _media(name: str, kind: str) -> Schema:
    about = "A data: URL with base64, or one that the workers may fetch."
    url: Schema = {"type": "string", "pattern": MEDIA_URL, "description": about}
    held = {"anyOf": [_object("Where it is.", ("url",), url=url), url], "description": "Where it is."}
    kinds = {"type": {"const": name, "description": "The kind of part."}}
    return _object(f"One {kind}.", ("type", name), **kinds, **{name: held})


def _input_audio() -> Schema:
    data: Schema = {"type": "string", "pattern": BASE64, "description": "Base64 of the audio file."}
    form: Schema = {"type": ["string", "null"], "description": "Such as wav or mp3."}
    held = _object("The audio itself.", ("data",), data=data, format=form)
    kinds = {"type": {"const": "input_audio", "description": "The kind of part."}}
    return _object("A piece of audio.", ("type", "input_audio"), **kinds, input_audio=held)


def _part(kind: str, text: str) -> Schema:
    kinds = {"type": {"const": kind, "description": "The kind of part."}}
    return _object(text, ("type", kind), **kinds, **{kind: {"type": "string", "description": "Its text."}})


def _tools() -> dict[str, Schema]:
    return {
        "ToolCall": _object(
            "A function the model called.",
            ("function",),
            id={"type": ["string", "null"], "description": "What `tool_call_id` of the answer refers to."},
            type={"enum": ["function", None], "description": "Functions are all there is."},
            function=_object(
                "Which one, and with what.",
                ("name",),
                name={"type": "string", "description": "The function's name."},
                arguments={
                    "anyOf": [{"type": "string"}, {"type": "object"}, {"type": "null"}],
                    "description": "As JSON in a text, or as an object.",
                },
            ),
        ),
        "Tool": _object(
            "A function the model may call.",
            ("type", "function"),
            type={"const": "function", "description": "Functions are all there is."},
            function=_object(
                "What the model is told of it.",
                ("name",),
                name={**_TEXT, "description": "The function's name."},
                description={"type": ["string", "null"], "description": "What it does."},
                parameters={"type": ["object", "null"], "description": "A JSON schema of its arguments."},
            ),
        ),
    }


def _forms() -> dict[str, Schema]:
    def form(kind: str, text: str, /, *required: str, **properties: Schema) -> Schema:
        return _object(text, ("type", *required), type={"const": kind, "description": "The form."}, **properties)

    named = _object(
        "A schema with a name.",
        ("schema",),
        name={"description": "For people: ignored."},
        schema={**ref("JsonSchema"), "description": "The schema."},
    )
    choices = {"type": ["array", "null"], "minItems": 1, "items": _TEXT, "description": "One of these texts."}
    return {
        "ResponseFormat": {
            "description": "The form of an answer.",
            "oneOf": [
                form("text", "Any text."),
                form("json_object", "Any JSON object."),
                form("json_schema", "JSON of this schema.", "json_schema", json_schema=named),
            ],
        },
        "StructuredOutputs": _object(
            "One of these guides the answer.",
            (),
            json={
                "anyOf": [ref("JsonSchema"), {"type": "string"}, {"type": "null"}],
                "description": "JSON of this schema.",
            },
            regex={"type": ["string", "null"], "pattern": r"\S", "description": "A regular expression."},
            choice=choices,
            grammar={"type": ["string", "null"], "pattern": r"\S", "description": "In the engine's own form."},
            json_object={"description": "Any JSON object, if true."},
        ),
    }


def _json_schema() -> Schema:
    inner = {"anyOf": [ref("JsonSchema"), {"type": "boolean"}]}
    kinds = {"enum": sorted(TYPES)}
    return {
        "type": "object",
        "description": f"A JSON schema, of at most {DEEPEST} levels. Engines know more or less of them.",
        "properties": {
            "type": {"anyOf": [kinds, {"type": "array", "minItems": 1, "items": kinds}]},
            "enum": {"type": "array", "minItems": 1},
            "required": {"type": "array", "items": {"type": "string"}},
            "pattern": {"type": "string"},
            **{name: {"type": "integer", "minimum": 0} for name in COUNTS},
            **{name: {"type": "number"} for name in NUMBERS},
            **{name: inner for name in SCHEMAS},
            **{name: {"type": "object", "additionalProperties": inner} for name in NAMED_SCHEMAS},
            **{name: {"type": "array", "minItems": 1, "items": inner} for name in SCHEMA_LISTS},
        },
    }
