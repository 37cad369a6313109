"""Handlers that have to wait for something before they answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from dynamo_cli.runtime.http.exchange import Exchange, Handler
from dynamo_cli.runtime.http.server import send_failure


def later(answer: Callable[[Exchange], Awaitable[None]]) -> Handler:
    """A handler of what answers in a task of its own, which ends when the client goes away.

    Its errors become responses as those of other handlers do. Not for the path of a request for tokens.
    """

    async def answered(exchange: Exchange) -> None:
        try:
            await answer(exchange)
        except Exception as error:
            send_failure(exchange, error)

    def handle(exchange: Exchange) -> None:
        task = asyncio.ensure_future(answered(exchange))

        def give_up() -> None:
            task.cancel()

        exchange.on_disconnect = give_up

    return handle
