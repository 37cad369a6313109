"""Whatever JSON is sent, it is taken or refused with a line that names a field; nothing else happens."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.decode import decode_chat, decode_completion
from dynamo_cli.protocol.guided import guided_of
from dynamo_cli.protocol.openai import ChatRequest, CompletionRequest, NvExt

SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5)
KEYS = st.sampled_from(
    ["type", "text", "content", "role", "function", "name", "schema", "json_schema", "items", "enum", "anyOf", "regex"]
)
WORDS = st.sampled_from(["text", "user", "assistant", "json_schema", "json_object", "function", "object", "{}", "[1]"])
VALUES = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)


def fields_of(kind: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(kind.__struct_fields__), VALUES, max_size=4)


MESSAGES = st.just([{"role": "user", "content": "x"}]) | st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "king"])}, optional={"content": VALUES}),
    max_size=3,
)


@pytest.mark.parametrize(
    ("kind", "decode", "given_field"),
    [(ChatRequest, decode_chat, "messages"), (CompletionRequest, decode_completion, "prompt")],
)
@given(data=st.data())
def test_any_json(kind: Any, decode: Any, given_field: str, data: st.DataObject) -> None:
    fields = data.draw(fields_of(kind))
    body = {"model": "m", given_field: data.draw(MESSAGES if given_field == "messages" else VALUES)} | fields
    if data.draw(st.booleans()):
        body["nvext"] = data.draw(fields_of(NvExt))
    try:
        request = decode(msgspec.json.encode(body))
        guided_of(request)
        if kind is CompletionRequest:
            request.prompts()
        assert request.alternatives is None or request.alternatives >= 0
    except InvalidRequest as error:
        assert "\n" not in str(error)
        if error.param is not None:
            assert error.param.split(".")[0].split("[")[0] in kind.__struct_fields__
