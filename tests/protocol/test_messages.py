from __future__ import annotations

from typing import Any

import pytest

from dynamo_cli.protocol.messages import check_message
from dynamo_cli.text.template import ChatTemplate

SILENT = {"name": None, "tool_calls": None, "function_call": None, "refusal": None, "audio": None}
ONE_CALL_AT_A_TIME = (
    "{% for m in messages %}{% if 'tool_calls' in m %}"
    "{% if m.tool_calls | length != 1 %}{{ raise_exception('only one call at a time') }}{% endif %}"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}"
)


@pytest.mark.parametrize("more", [SILENT, {"tool_calls": []}, {}])
def test_an_answer_that_comes_back_whole_has_no_tool_calls(more: dict[str, Any]) -> None:
    message = {"role": "assistant", "content": "blue", **more}
    check_message(message, 0)
    assert message == {"role": "assistant", "content": "blue"}
    assert ChatTemplate(ONE_CALL_AT_A_TIME).render([message]) == "blue"


def test_content_may_be_null() -> None:
    message = {"role": "assistant", "content": None}
    check_message(message, 0)
    assert message == {"role": "assistant", "content": None}
