"""Chat messages -> the prompt text a model was trained on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from importlib import import_module
from typing import Any, NoReturn

from dynamo_cli.errors import InvalidRequest, ModelMissing
from dynamo_cli.text.messages import joined_text, plain_messages

Render = Callable[..., str]

_CALL = {"id": "call00000", "type": "function", "function": {"name": "f", "arguments": {}}}
_CONTINUE = "[CONTINUE FROM HERE]"
_PARTS = re.compile(r"for\s+\w+\s+in\s+\w+(?:\.content|\[.content.\])")
_GENERATION = re.compile(r"\{%(-?)\s*(end)?generation\s*(-?)%\}")


class ChatTemplate:
    """A Jinja chat template, rendered with the functions and filters Hugging Face's templates expect."""

    def __init__(self, source: str, bos_token: str = "", eos_token: str = "") -> None:
        self.source = source
        # Some templates only know content as a list of parts; those that know both ask which it is.
        self._knows_parts = _PARTS.search(source) is not None
        self._as_parts = self._knows_parts and "is string" not in source
        self._knows_developers = "developer" in source
        self._tokens = {"bos_token": bos_token, "eos_token": eos_token}
        # The block only marks what training counts; it prints what is inside.
        plain = _GENERATION.sub(lambda tag: f"{{%{tag[1]} {'endif' if tag[2] else 'if true'} {tag[3]}%}}", source)
        self._render = _compile(plain)

    def render(
        self,
        messages: list[dict[str, Any]],
        *,
        tools: list[dict[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        **kwargs: Any,
    ) -> str:
        """Raises InvalidRequest when the template refuses the messages."""
        kwargs.update(tools=tools, add_generation_prompt=add_generation_prompt)
        return self._write([self._familiar(message) for message in messages], kwargs)

    def _write(self, messages: list[dict[str, Any]], kwargs: dict[str, Any]) -> str:
        plain = plain_messages(messages, as_parts=self._as_parts, media=self._knows_parts)
        variables = {**self._tokens, **kwargs, "messages": plain}
        try:
            return self._render(**variables)
        except InvalidRequest:
            raise
        except Exception as error:  # whatever a template written by others runs into
            reason = str(error).strip().partition("\n")[0]
            raise InvalidRequest(f"the chat template cannot render these messages: {reason}", "messages") from error

    def _familiar(self, message: dict[str, Any]) -> dict[str, Any]:
        """The message as the template knows such: many leave out a developer's, and most fail on null for a text."""
        role = message.get("role")
        if role == "developer" and not self._knows_developers:
            return {**message, "role": "system"}
        if role == "assistant" and message.get("content") is None:
            return {**message, "content": ""} if not message.get("tool_calls") or self._needs_text else message
        return message

    @cached_property
    def _needs_text(self) -> bool:
        """Whether it fails on null, or writes it out; a few templates know a message with tool calls by it."""
        asked, called = {"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [_CALL]}

        def written(content: str | None) -> str:
            return self._write([asked, {**called, "content": content}], {"tools": None, "add_generation_prompt": False})

        try:
            empty = written("")
        except InvalidRequest:
            return False
        try:
            return written(None).lower().count("none") > empty.lower().count("none")
        except InvalidRequest:
            return True

    def render_unfinished(self, messages: list[dict[str, Any]], **kwargs: Any) -> str:
        """As `render`, but ends within the last message, for the model to go on with it.

        Raises InvalidRequest when the template does not show that message.
        """
        last = {**messages[-1], "content": joined_text(messages[-1].get("content"), "messages") + _CONTINUE}
        kwargs["add_generation_prompt"] = False
        text, found, _ = self.render([*messages[:-1], last], **kwargs).rpartition(_CONTINUE)
        if not found:
            raise InvalidRequest("continue_final_message: the chat template leaves the last message out", "messages")
        return text


def _compile(source: str) -> Render:
    import minijinja

    environment = minijinja.Environment(
        filters={"tojson": to_json},
        globals={"raise_exception": _refuse, "strftime_now": _strftime_now},
        trim_blocks=True,
        lstrip_blocks=True,
        debug=False,
    )
    try:
        environment.add_template("chat", source)
    except minijinja.TemplateError as error:
        return _compile_with_jinja2(source, str(error).partition("\n")[0])

    def render(**variables: Any) -> str:
        return str(environment.render_template("chat", **variables))

    return render


def _compile_with_jinja2(source: str, reason: str) -> Render:
    """For the rare template that only the original understands."""
    try:
        jinja2, sandbox = import_module("jinja2"), import_module("jinja2.sandbox")
    except ImportError:
        raise ModelMissing(f"the model's chat template needs `pip install jinja2`: {reason}") from None
    environment = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = to_json
    environment.globals.update(raise_exception=_refuse, strftime_now=_strftime_now)
    try:
        render: Render = environment.from_string(source).render
    except jinja2.TemplateError as error:
        raise ModelMissing(f"the model's chat template is not valid: {error}") from error
    return render


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Plain JSON, where Jinja's own filter would escape for HTML."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=tuple(separators) if separators else None,  # type: ignore[arg-type]
        sort_keys=sort_keys,
    )


def _refuse(message: str) -> NoReturn:
    raise InvalidRequest(f"the chat template refuses these messages: {message}", "messages")


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)
