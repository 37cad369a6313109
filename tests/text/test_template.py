from __future__ import annotations

import sys
from datetime import datetime

import pytest

from dynamo_cli.errors import InvalidRequest, ModelMissing
from dynamo_cli.text.bundle import TextBundle
from dynamo_cli.text.template import ChatTemplate

SYSTEM = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"


def test_the_default_model(bundle: TextBundle) -> None:
    assert bundle.template is not None
    render = bundle.template.render
    sky = {"role": "user", "content": "What color is the sky?"}
    asked = "<|im_start|>user\nWhat color is the sky?<|im_end|>\n"
    assert render([sky]) == SYSTEM + asked + "<|im_start|>assistant\n"
    assert render([sky], add_generation_prompt=False) == SYSTEM + asked
    brief = {"role": "system", "content": 'Be <brief> & "kind".'}
    blue = {"role": "assistant", "content": "Blue.\n"}
    assert render([brief, sky, blue, sky]) == (
        '<|im_start|>system\nBe <brief> & "kind".<|im_end|>\n'
        f"{asked}<|im_start|>assistant\nBlue.\n<|im_end|>\n{asked}<|im_start|>assistant\n"
    )


def test_text_parts_are_joined(bundle: TextBundle) -> None:
    assert bundle.template is not None
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [{"role": "user", "content": parts}]
    assert "<|im_start|>user\na\nb<|im_end|>" in bundle.template.render(messages)
    assert messages == [{"role": "user", "content": parts}]


def test_an_image_is_refused_by_name() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:"}}
    with pytest.raises(InvalidRequest, match="not image_url") as caught:
        ChatTemplate("{{ messages }}").render([{"role": "user", "content": ["a", part]}])
    assert caught.value.param == "messages[0].content[1]"


@pytest.mark.parametrize(
    ("source", "rendered"),
    [
        ("{{ tools | tojson }}", '[{"name": "é<f>", "n": [1, 2.5, null, true]}]'),
        (
            "{{ tools | tojson(indent=1) }}",
            '[\n {\n  "name": "é<f>",\n  "n": [\n   1,\n   2.5,\n   null,\n   true\n  ]\n }\n]',
        ),
        ("{{ tools | tojson(separators=(',', ':')) }}", '[{"name":"é<f>","n":[1,2.5,null,true]}]'),
        ("{{ bos_token }}|{{ eos_token }}", "<s>|</s>"),
        ("{{ unknown }}|{% for x in unknown %}{% endfor %}|{{ unknown is defined }}", "||False"),
        ("{% set n = namespace(a=0) %}{% for i in [1, 2] %}{% set n.a = n.a + i %}{% endfor %}{{ n.a }}", "3"),
        ("{% for i in [1, 2, 3] %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}", "13"),
        ("{{ messages[0]['content'].strip().split('-')[-1].startswith('b') }}", "True"),
        ("{{ messages[0].get('name', 'nobody') }}{{ messages[-1].role }}", "nobodyuser"),
        ("{% generation %}a{% endgeneration %}b", "ab"),
        ("x\n  {%- generation -%}  a  {%- endgeneration -%}  y", "xay"),
        ("  {% if true %}\n  a\n  {% endif %}\nb\n", "  a\nb"),
        ("{{ enable_thinking }}{{ none }}{{ 1.0 }}", "FalseNone1.0"),
        ("{{ strftime_now('%Y') }}", str(datetime.now().year)),
        ("{%- macro f(x) -%}[{{ x }}]{%- endmacro -%}{{ f(messages | length) }}", "[1]"),
    ],
)
def test_what_templates_use(source: str, rendered: str) -> None:
    template = ChatTemplate(source, "<s>", "</s>")
    tools = [{"name": "é<f>", "n": [1, 2.5, None, True]}]
    assert template.render([{"role": "user", "content": " a-b "}], tools=tools, enable_thinking=False) == rendered


def test_arguments_of_tool_calls_are_objects() -> None:
    template = ChatTemplate("{{ messages[0].tool_calls[0].function.arguments | tojson }}")
    call = {"type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    assert template.render([{"role": "assistant", "tool_calls": [call]}]) == '{"a": 1}'
    assert call["function"]["arguments"] == '{"a": 1}'  # type: ignore[index]
    call["function"]["arguments"] = "not JSON"  # type: ignore[index]
    assert template.render([{"role": "assistant", "tool_calls": [call]}]) == '"not JSON"'


def test_a_refusal_of_the_template_is_a_bad_request() -> None:
    template = ChatTemplate("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(InvalidRequest, match="refuses these messages: roles must alternate"):
        template.render([])


def test_a_template_that_fails_is_a_bad_request_of_one_line() -> None:
    template = ChatTemplate("a\n{{ messages[0]['content'] + 'x' }}")
    with pytest.raises(InvalidRequest, match="cannot render") as caught:
        template.render([{"role": "user", "content": None}])
    assert "\n" not in str(caught.value)
    with pytest.raises(InvalidRequest, match="cannot render"):
        ChatTemplate("{{ a.b.c }}").render([])


def test_what_only_jinja2_understands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ModelMissing, match="needs `pip install jinja2`") as caught:
        ChatTemplate("{% trans %}a{% endtrans %}")
    assert "\n" not in str(caught.value)


def called(**content: object) -> dict[str, object]:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return {"role": "assistant", **content, "tool_calls": [call]}


def test_tool_calls_need_no_text(bundle: TextBundle) -> None:
    assert bundle.template is not None
    asked = {"role": "user", "content": "a"}
    for message in (called(content=None), called(), called(content="")):
        text = bundle.template.render([asked, message, {"role": "tool", "content": "b"}])
        assert text == SYSTEM + (
            "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n<|im_end|>\n"
            "<|im_start|>tool\nb<|im_end|>\n<|im_start|>assistant\n"
        )


def test_a_developer_is_the_system_of_templates_that_know_none(bundle: TextBundle) -> None:
    assert bundle.template is not None
    brief, sky = {"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Sky?"}
    asked = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nSky?<|im_end|>\n<|im_start|>assistant\n"
    assert bundle.template.render([brief, sky]) == asked
    assert brief["role"] == "developer"
    roles = "{% for m in messages %}{% if m.role in ['user', 'system'] %}<{{ m.role }}>{% endif %}{% endfor %}"
    assert ChatTemplate(roles).render([brief, sky]) == "<system><user>"
    known = roles.replace("'system'", "'developer', 'system'")
    assert ChatTemplate(known).render([brief, sky]) == "<developer><user>"


@pytest.mark.parametrize(
    ("source", "with_calls", "without"),
    [
        ("[{{ m.content }}]", "[]", "[]"),
        ("[{{ m['content'] | trim }}]", "[]", "[]"),
        ("{% for p in m.content %}[{{ p.text }}]{% endfor %}", "", "[]"),
        ("{% if m.content is none %}calls{% else %}text{% endif %}", "calls", "text"),
        ("{{ raise_exception('no text') if m.content is string else 'calls' }}", "calls", None),
    ],
)
def test_null_stays_null_for_templates_that_ask_for_it(source: str, with_calls: str, without: str | None) -> None:
    template = ChatTemplate(f"{{% for m in messages if m.role == 'assistant' %}}{source}{{% endfor %}}")
    asked = {"role": "user", "content": "a"}
    assert template.render([asked, called(content=None)]) == with_calls
    if without is not None:
        assert template.render([asked, {"role": "assistant", "content": None}]) == without


PARTS = "{% for m in messages %}{% for p in m['content'] %}[{{ p.text }}]{% endfor %}{% endfor %}"
EITHER = (
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}"
    "{% else %}{% for p in m.content %}[{{ p.text }}]{% endfor %}{% endif %}{% endfor %}"
)


@pytest.mark.parametrize(("source", "rendered"), [(PARTS, "[a][b][c]"), (EITHER, "a\nbc")])
def test_parts_stay_parts_for_templates_that_know_nothing_else(source: str, rendered: str) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [{"role": "user", "content": parts}, {"role": "user", "content": "c"}]
    assert ChatTemplate(source).render(messages) == rendered


@pytest.mark.parametrize("content", ["so far ", [{"type": "text", "text": "so far "}]])
def test_a_message_can_be_left_open(bundle: TextBundle, content: object) -> None:
    assert bundle.template is not None
    messages = [{"role": "user", "content": "so far "}, {"role": "assistant", "content": content}]
    text = bundle.template.render_unfinished(messages)
    assert text == SYSTEM + "<|im_start|>user\nso far <|im_end|>\n<|im_start|>assistant\nso far "
    parts = ChatTemplate(PARTS).render_unfinished(messages)
    assert parts == "[so far ][so far "
    with pytest.raises(InvalidRequest, match="leaves the last message out"):
        ChatTemplate("{{ messages[0].content }}").render_unfinished(messages)
