"""One request inside a worker: runs its handler, streams the answers, obeys the reader's window and cancel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from dynamo_cli.errors import DynamoError, EngineFailed, InvalidRequest, StreamIncomplete
from dynamo_cli.runtime.context import Context, current_context
from dynamo_cli.runtime.links.frames import Error, FrameTooLarge
from dynamo_cli.runtime.requests.base import Handler
from dynamo_cli.runtime.requests.flow import DELTA_COST, Credit
from dynamo_cli.runtime.requests.frames import End
from dynamo_cli.runtime.trail import Trail

if TYPE_CHECKING:
    from dynamo_cli.runtime.requests.tcp_server import ServerLink

_log = logging.getLogger(__name__)
_CANCEL_GRACE_S = 1.0


def error_frame(stream: int, error: DynamoError) -> Error:
    param = error.param if isinstance(error, InvalidRequest) else None
    return Error(stream, error.code, str(error), param)


class ServedStream:
    """`muted`: nothing more is sent, because the reader cancelled or has already got an error."""

    __slots__ = ("_grace", "_id", "_link", "context", "credit", "muted", "task")

    task: asyncio.Task[None]

    def __init__(self, link: ServerLink, number: int, request_id: str, trail: Trail | None = None) -> None:
        self._link = link
        self._id = number
        self._grace: asyncio.TimerHandle | None = None
        self.context = Context(request_id, trail)
        self.credit = Credit()
        self.muted = False

    def start(self, handler: Handler, request: Any) -> None:
        self.task = asyncio.get_running_loop().create_task(self._run(handler, request))

    def grant(self, credit: int) -> None:
        self.credit.left += credit
        self.credit.wake()

    def cancel(self) -> None:
        """The reader is gone: stop the context; a handler that goes on is cancelled after a grace."""
        if self.muted:
            return
        self.muted = True
        self.credit.wake()
        self._grace = asyncio.get_running_loop().call_later(_CANCEL_GRACE_S, self.task.cancel)
        self.context.stop()

    def give_up(self, reason: str) -> None:
        """Tell the reader that its stream is cut, then cancel."""
        if not self.muted:
            self._link.out.frame(error_frame(self._id, StreamIncomplete(reason)))
        self.cancel()

    async def _run(self, handler: Handler, request: Any) -> None:
        answers: AsyncIterator[Any] | None = None
        current_context.set(self.context)
        try:
            answers = handler(request, self.context)
            await self._send_all(answers)
            self._finish(End(self._id))
        except asyncio.CancelledError:
            self._finish(error_frame(self._id, StreamIncomplete("the handler was cancelled")))
        except DynamoError as error:
            self._finish(error_frame(self._id, error))
        except Exception as error:
            _log.exception("the handler of request %s failed", self.context.id)
            self._finish(error_frame(self._id, EngineFailed(_one_line(error))))
        finally:
            await self._clean_up(answers)

    async def _send_all(self, answers: AsyncIterator[Any]) -> None:
        link, credit, number = self._link, self.credit, self._id
        send = link.out.delta
        async for answer in answers:
            if self.muted:
                # Let the loop run, so that the grace can end a handler that never waits.
                await asyncio.sleep(0)
                continue
            credit.left -= send(number, answer) + DELTA_COST
            while (credit.left <= 0 or link.paused) and not self.muted:
                await credit.wait()

    def _finish(self, frame: End | Error) -> None:
        if not self.muted:
            self.muted = True
            self._link.out.frame(frame)

    async def _clean_up(self, answers: AsyncIterator[Any] | None) -> None:
        if self._grace is not None:
            self._grace.cancel()
        try:
            if (close := getattr(answers, "aclose", None)) is not None:
                await close()
        except (Exception, asyncio.CancelledError) as error:
            _log.warning("closing the handler of request %s failed: %s", self.context.id, _one_line(error))
        finally:
            self._link.streams.pop(self._id, None)
            self._link.server.finished(self)


def _one_line(error: BaseException) -> str:
    if isinstance(error, FrameTooLarge):
        return str(error)
    return f"{type(error).__name__}: {error}".split("\n", 1)[0]
