"""Requests to an endpoint, with the reference's methods."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from dynamo_cli.api.validation import plain
from dynamo_cli.runtime import client as inner
from dynamo_cli.runtime.context import Context

T = TypeVar("T")


class Annotated(Generic[T]):
    """One answer of a stream, as the reference wraps it: `data()` is what the handler yielded, as JSON-like values."""

    __slots__ = ("_data",)

    def __init__(self, data: T) -> None:
        self._data = data

    def data(self) -> T:
        return self._data

    def __repr__(self) -> str:
        return f"Annotated({self._data!r})"


class Client:
    """Each method that sends is awaited and gives a stream: Annotated items, or with `annotated=False` what is in them.

    A stream raises the handler's error as one of `dynamo_cli.errors`, NoInstances when nobody serves, Cancelled when
    `context` was stopped.
    """

    def __init__(self, client: inner.Client) -> None:
        self._client = client

    def instance_ids(self) -> list[int]:
        return list(self._client.instance_ids())

    async def wait_for_instances(self, timeout_s: float | None = None) -> list[int]:
        """The ids, once there is one; NoInstances after `timeout_s`, which is for ever when it is None."""
        await self._client.wait_for_instances(1, math.inf if timeout_s is None else timeout_s)
        return self.instance_ids()

    async def generate(
        self, request: Any, annotated: bool = True, context: Context | None = None
    ) -> AsyncIterator[Any]:
        """To one of them after another."""
        return await self.round_robin(request, annotated, context)

    async def round_robin(
        self, request: Any, annotated: bool = True, context: Context | None = None
    ) -> AsyncIterator[Any]:
        return _items(self._client.round_robin(plain(request), context), annotated)

    async def random(self, request: Any, annotated: bool = True, context: Context | None = None) -> AsyncIterator[Any]:
        return _items(self._client.random(plain(request), context), annotated)

    async def direct(
        self, request: Any, instance_id: int, annotated: bool = True, context: Context | None = None
    ) -> AsyncIterator[Any]:
        return _items(self._client.direct(plain(request), instance_id, context), annotated)

    async def close(self) -> None:
        """Done by the runtime at its end, too."""
        await self._client.close()


def _items(stream: AsyncIterator[Any], annotated: bool) -> AsyncIterator[Any]:
    return _wrapped(stream) if annotated else stream


async def _wrapped(stream: AsyncIterator[Any]) -> AsyncIterator[Annotated[Any]]:
    async with aclosing(stream):  # type: ignore[type-var]
        async for item in stream:
            yield Annotated(item)
