"""`dynamo_endpoint`: requests and answers of a declared form."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import msgspec

from dynamo_cli.errors import EngineFailed, InvalidRequest
from dynamo_cli.workers.engines.custom.generator import checked

Generator = Callable[..., AsyncIterator[Any]]
WHERE = " - at `$"
"""How msgspec begins to say where in a value it was."""


class Mismatch(Exception):
    """`path`: the field, "" for the value as a whole."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path}: {what}" if path else what)
        self.path = path


def dynamo_endpoint(request_model: Any, response_model: Any) -> Callable[[Generator], Generator]:
    """Decorates a handler, or a method, that is an async generator.

    It gets its request as a `request_model` and yields what fits a `response_model`: msgspec Structs, dataclasses,
    TypedDicts, plain types, or pydantic models. A request that does not fit is InvalidRequest with the field's name, an
    answer that does not fit EngineFailed.
    """

    def decorate(handler: Generator) -> Generator:
        checked(handler, "dynamo_endpoint")
        at = 1 if next(iter(inspect.signature(handler).parameters), "") == "self" else 0

        @functools.wraps(handler)
        async def validated(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            given = list(args)
            try:
                given[at] = fitted(given[at], request_model)
            except Mismatch as error:
                raise InvalidRequest(f"the request does not fit: {error}", error.path or None) from None
            async with aclosing(handler(*given, **kwargs)) as answers:  # type: ignore[type-var]
                async for answer in answers:
                    try:
                        yield plain(fitted(answer, response_model))
                    except Mismatch as error:
                        raise EngineFailed(f"{handler.__name__} yielded what does not fit: {error}") from None

        return validated

    return decorate


def fitted(value: Any, model: Any) -> Any:
    """`value` as a `model`; raises Mismatch."""
    if inspect.isclass(model) and isinstance(value, model):
        return value
    if hasattr(model, "model_validate"):
        return _fitted_by_pydantic(value, model)
    try:
        return msgspec.convert(value, model)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(WHERE)
        raise Mismatch(where.rstrip("`").lstrip("."), what.replace("`", "")) from None


def plain(value: Any) -> Any:
    """What can travel: a pydantic model becomes a dict."""
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def _fitted_by_pydantic(value: Any, model: Any) -> Any:
    try:
        return model.model_validate(value)
    except ValueError as error:
        problems = error.errors() if hasattr(error, "errors") else []
        if not problems:
            raise Mismatch("", str(error).split("\n", 1)[0]) from None
        raise Mismatch(".".join(map(str, problems[0]["loc"])), problems[0]["msg"]) from None
