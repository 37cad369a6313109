from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from dynamo_cli.api import dynamo_endpoint
from dynamo_cli.errors import EngineFailed, InvalidRequest, UsageError


class Question(msgspec.Struct):
    text: str
    times: int = 1


@dataclasses.dataclass
class Answer:
    text: str


class FakePydantic:
    """A model as pydantic's look from outside, without pydantic."""

    def __init__(self, times: int) -> None:
        self.times = times

    class Problem(ValueError):
        def errors(self) -> list[dict[str, Any]]:
            return [{"loc": ("body", "times"), "msg": "Input should be a valid integer"}]

    @classmethod
    def model_validate(cls, value: Any) -> FakePydantic:
        if not isinstance(value.get("times"), int):
            raise cls.Problem
        return cls(value["times"])

    def model_dump(self, mode: str = "python") -> dict[str, Any]:
        return {"times": self.times}


async def all_of(stream: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in stream]


async def test_requests_and_answers_have_their_types() -> None:
    @dynamo_endpoint(Question, Answer)
    async def repeat(request: Question, context: Any = None) -> AsyncIterator[Any]:
        for _ in range(request.times):
            yield Answer(request.text)
        yield {"text": "done"}

    assert await all_of(repeat({"text": "a", "times": 2})) == [Answer("a"), Answer("a"), Answer("done")]
    assert await all_of(repeat(Question("b"), None)) == [Answer("b"), Answer("done")]


@pytest.mark.parametrize(
    ("request_", "param", "line"),
    [
        ({"text": "a", "times": "b"}, "times", "the request does not fit: times: Expected int, got str"),
        ({}, None, "the request does not fit: Object missing required field text"),
        ([], None, "the request does not fit: Expected object, got array"),
    ],
)
async def test_a_request_that_does_not_fit_names_the_field(request_: Any, param: str | None, line: str) -> None:
    @dynamo_endpoint(Question, str)
    async def handler(request: Question) -> AsyncIterator[str]:
        yield request.text

    with pytest.raises(InvalidRequest) as caught:
        await all_of(handler(request_))
    assert (str(caught.value), caught.value.param) == (line, param)


async def test_an_answer_that_does_not_fit_is_the_handlers_fault() -> None:
    @dynamo_endpoint(str, int)
    async def handler(request: str) -> AsyncIterator[Any]:
        yield 1
        yield "two"

    with pytest.raises(EngineFailed, match="handler yielded what does not fit: Expected int, got str"):
        await all_of(handler("x"))


async def test_a_method_and_models_like_pydantics() -> None:
    class Service:
        @dynamo_endpoint(FakePydantic, FakePydantic)
        async def handler(self, request: FakePydantic) -> AsyncIterator[Any]:
            yield request
            yield {"times": request.times + 1}

    assert await all_of(Service().handler({"times": 1})) == [{"times": 1}, {"times": 2}]
    with pytest.raises(InvalidRequest) as caught:
        await all_of(Service().handler({"times": "a"}))
    assert caught.value.param == "body.times"
    assert str(caught.value) == "the request does not fit: body.times: Input should be a valid integer"


def test_only_an_async_generator_is_decorated() -> None:
    with pytest.raises(UsageError, match=r"test_validation\.py:\d+: handler must be an async generator"):

        @dynamo_endpoint(str, str)
        async def handler(request: str) -> Any:
            return request
