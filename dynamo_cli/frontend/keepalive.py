"""Comments in streams of which nothing comes, so that no proxy between takes them for dead."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from dynamo_cli.errors import UsageError
from dynamo_cli.frontend.answer import StreamedAnswer
from dynamo_cli.routing.silence import SilenceWatch
from dynamo_cli.runtime.http.limits import number

_INTERVAL, _PEEK = "DYN_HTTP_SSE_KEEP_ALIVE_INTERVAL_MS", "DYN_HTTP_PRE_COMMIT_ERROR_PEEK_MS"


@dataclass(frozen=True)
class KeepAliveOptions:
    """A stream without an event for `interval_s` gets a comment; 0 is never.

    A comment before the first token commits the answer to status 200: it does not come before `peek_s`, so that an
    error of the engine up to then still has a status of its own. Without comments every error before the first token
    has one.
    """

    interval_s: float = 0.0
    peek_s: float = 0.0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> KeepAliveOptions:
        """Raises UsageError, which names the variable."""
        return cls(_seconds(_INTERVAL, environ), _seconds(_PEEK, environ))


class KeepAlive:
    def __init__(self, options: KeepAliveOptions) -> None:
        self._peek_s = options.peek_s
        self._watch = SilenceWatch(options.interval_s) if options.interval_s else None

    def follow(self, answer: StreamedAnswer) -> None:
        watch = self._watch
        if watch is not None:
            answer.peek_s = self._peek_s
            watch.add(answer)
            answer.at_end(lambda: watch.discard(answer))


def _seconds(variable: str, environ: Mapping[str, str]) -> float:
    milliseconds = number(variable, 0.0, environ)
    if milliseconds < 0:
        raise UsageError(f"{variable}={environ[variable]!r} must be a number of milliseconds, 0 for none")
    return milliseconds / 1000
