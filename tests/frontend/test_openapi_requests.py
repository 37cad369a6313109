"""The schemas of requests and the code that reads them agree: what one refuses, the other one does."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.decode import decode_chat, decode_completion
from dynamo_cli.protocol.guided import guided_of
from dynamo_cli.protocol.openai import ChatRequest, CompletionRequest, NvExt
from tests.frontend.described import problems

MANY = settings(max_examples=200)
BESIDE_OTHERS = ("not together", "only one of them", "unless it equals n", "only allowed when", "set to true, too")
"""What is wrong only beside another field: the schema says it in words."""
ALSO_IN_WORDS = (
    "at most 2048 choices",
    "the last message must be",
    "KiB",
    "levels",
    "not valid JSON",
    "$ref",
    "<= 429496",
)

SCALARS = st.sampled_from([None, True, False, 0, 1, 2, 3, -1, 0.5, 129, 2**31, 2**70, -0.5, "", " ", "x", "a b"])
KEYS = [
    "type",
    "text",
    "content",
    "role",
    "function",
    "name",
    "schema",
    "json_schema",
    "items",
    "enum",
    "anyOf",
    "regex",
]
KEYS += [
    "refusal",
    "tool_calls",
    "id",
    "arguments",
    "parameters",
    "description",
    "properties",
    "minItems",
    "choice",
    "5",
]
WORDS = st.sampled_from(["text", "user", "assistant", "tool", "json_schema", "json_object", "function", "object", "{}"])
VALUES = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "refusal", "image_url"])},
    optional={"text": st.just("x") | VALUES, "refusal": st.just("x") | VALUES},
)
CALLS = st.fixed_dictionaries({}, optional={"type": VALUES, "id": VALUES, "function": st.fixed_dictionaries(
    {"name": st.just("f") | VALUES}, optional={"arguments": VALUES})})  # fmt: skip
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "king"])},
    optional={
        "content": st.just("x") | st.lists(PARTS, max_size=2) | VALUES,
        "tool_calls": st.lists(CALLS, max_size=2) | VALUES,
        "tool_call_id": VALUES,
        "name": VALUES,
    },
)
MESSAGES = st.lists(MESSAGE, max_size=2)
TOOLS = st.lists(
    st.fixed_dictionaries(
        {"type": st.just("function") | VALUES, "function": VALUES | st.fixed_dictionaries(
            {"name": st.just("f") | VALUES}, optional={"parameters": VALUES, "description": VALUES})},
    ),
    max_size=2,
)  # fmt: skip
FORMS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "json_object", "json_schema", "xml"]) | VALUES},
    optional={"json_schema": VALUES | st.fixed_dictionaries({"schema": VALUES})},
)
GUIDED = st.dictionaries(
    st.sampled_from(["json", "regex", "choice", "grammar", "json_object", "other"]), VALUES, max_size=2
)
TEXTS = st.lists(st.sampled_from(["", "a"]), max_size=2) | st.sampled_from([["a"] * 32, ["a"] * 33])
BIASES = st.dictionaries(st.sampled_from(["5", "-1", "05", "", "a"]), st.sampled_from([0, -100, 101, None]), max_size=2)
MORE = {
    "tools": TOOLS,
    "tool_choice": st.sampled_from(["auto", "none", "required"]),
    "modalities": st.lists(st.sampled_from(["text", "audio"]), max_size=2),
    "response_format": FORMS,
    "structured_outputs": GUIDED,
    "stop": TEXTS,
    "guided_choice": TEXTS,
    "logit_bias": BIASES,
}


def fields_of(kind: type[msgspec.Struct], **more: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Mostly one: of two wrong ones only the first is seen."""
    fields = [name for name in kind.__struct_fields__ if name != "messages"]
    special = [name for name in more if name in fields]
    names = st.lists(st.sampled_from(fields) | st.sampled_from(special or fields), min_size=1, max_size=2, unique=True)
    return names.flatmap(lambda some: st.fixed_dictionaries({name: more.get(name, VALUES) | VALUES for name in some}))


def bodies(kind: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    """Right but for one thing, which may be right, too."""
    right = {"messages": [{"role": "user", "content": "x"}]} if kind is ChatRequest else {"prompt": "x"}
    changes = fields_of(kind, **MORE) | st.fixed_dictionaries({"nvext": fields_of(NvExt)})
    if kind is ChatRequest:
        changes |= st.fixed_dictionaries({"messages": MESSAGES})
    return changes.map(lambda change: {"model": "m", **right, **change})


def refusal(decode: Any, body: dict[str, Any]) -> str:
    """Empty if it is taken."""
    try:
        request = decode(msgspec.json.encode(body))
        guided_of(request)
        if isinstance(request, CompletionRequest):
            request.prompts()
    except InvalidRequest as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("kind", "decode"), [(ChatRequest, decode_chat), (CompletionRequest, decode_completion)])
@MANY
@given(data=st.data())
def test_what_the_schema_refuses_is_refused_and_the_other_way_round(
    kind: Any, decode: Any, data: st.DataObject
) -> None:
    body = data.draw(bodies(kind))
    said, wrong = refusal(decode, body), problems(kind.__name__, body, closed=False)
    if wrong:
        assert said, wrong
    elif said:
        assert any(words in said for words in (*BESIDE_OTHERS, *ALSO_IN_WORDS)), said


CALL = {"function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f"}}


def said_by(role: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, **more}]}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ({"stop": ["a"] * 32}, {"stop": ["a"] * 33}),
        ({"stop": ""}, {"stop": ["a", ""]}),
        ({"n": 128}, {"n": 129}),
        ({"temperature": 2}, {"temperature": 2.5}),
        ({"top_p": 1}, {"top_p": 0}),
        ({"seed": -(2**63)}, {"seed": 2**63}),
        ({"max_tokens": 2**31 - 1}, {"max_tokens": 2**31}),
        ({"logit_bias": {"0": -100}}, {"logit_bias": {"07": 1}}),
        ({"logit_bias": {"4294967295": 1}}, {"logit_bias": {"5": 101}}),
        ({"modalities": ["text"]}, {"modalities": ["text", "audio"]}),
        ({"audio": None}, {"audio": {}}),
        ({"functions": []}, {"functions": [{}]}),
        ({"tool_choice": "none"}, {"tool_choice": "required"}),
        ({"tools": [TOOL]}, {"tools": [{**TOOL, "type": "web"}]}),
        ({"tools": []}, {"tools": [{"type": "function", "function": {"name": ""}}]}),
        ({"use_beam_search": False}, {"use_beam_search": True}),
        ({"response_format": {"type": "text"}}, {"response_format": {"type": "xml"}}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}},
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "thing"}}}},
        ),
        ({"guided_choice": ["a"]}, {"guided_choice": []}),
        ({"guided_regex": "a"}, {"guided_regex": " "}),
        ({"guided_json": "{}"}, {"guided_json": 5}),
        ({"structured_outputs": {"choice": ["a"]}}, {"structured_outputs": {"choice": [""]}}),
        ({"nvext": {"token_data": [1]}}, {"nvext": {"token_data": []}}),
        (said_by("assistant", content=None), said_by("user", content=None)),
        (said_by("assistant", tool_calls=[CALL]), said_by("assistant", tool_calls=[{"function": {"name": 1}}])),
        (said_by("tool", content="x", tool_call_id="1"), said_by("tool", content="x", tool_call_id=1)),
        (said_by("assistant", content=[{"type": "refusal", "refusal": "no"}]), {"messages": []}),
        (said_by("user", content=[{"type": "text", "text": "x"}]), said_by("user", content=[{"type": "image_url"}])),
        (said_by("function", content="x", name="f"), said_by("king", content="x")),
    ],
)
def test_edges(right: dict[str, Any], wrong: dict[str, Any]) -> None:
    body = {"model": "m", **said_by("user", content="x")}
    assert not problems("ChatRequest", {**body, **right}, closed=False)
    assert refusal(decode_chat, {**body, **right}) == ""
    assert problems("ChatRequest", {**body, **wrong}, closed=False)
    assert refusal(decode_chat, {**body, **wrong})


KEYWORDS = ["type", "enum", "required", "properties", "items", "anyOf", "minItems", "minimum", "pattern", "x", "not"]
KEYWORDS += ["$defs", "prefixItems", "additionalProperties", "maxLength", "multipleOf"]
ANY_SCHEMA = st.recursive(
    SCALARS | WORDS | st.sampled_from(["integer", ["string", "null"]]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=3),
    max_leaves=10,
)


@MANY
@given(schema=ANY_SCHEMA)
def test_schemas_of_guided_answers(schema: Any) -> None:
    body = {"model": "m", "prompt": "x", "response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}
    said, wrong = refusal(decode_completion, body), problems("CompletionRequest", body, closed=False)
    assert bool(said) == bool(wrong), (said, wrong)
