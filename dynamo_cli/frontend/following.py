"""What follows requests, as the options and the environment want it: log lines, spans, trace files."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dynamo_cli.frontend.access import access_log
from dynamo_cli.frontend.http_spans import HttpSpans
from dynamo_cli.frontend.journal import Listener
from dynamo_cli.frontend.request_trace.options import trace_options
from dynamo_cli.runtime.logs import log_settings
from dynamo_cli.runtime.spans import open_spans
from dynamo_cli.runtime.trail import Trail

CLOSE_S = 2.0


@dataclass(frozen=True)
class Following:
    """`listeners` hear of each request that is over; `sample` decides whether one that has come has spans.

    `closers` take what is left to where it belongs, each within so many seconds.
    """

    listeners: tuple[Listener, ...] = ()
    sample: Callable[[Trail], Trail] | None = None
    closers: tuple[Callable[[float], None], ...] = ()

    def close(self) -> None:
        for close in self.closers:
            close(CLOSE_S)


def follow(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Following:
    """Raises UsageError and EngineMissing."""
    access, traced, spans = access_log(log_settings(environ)), trace_options(arguments, environ), open_spans(environ)
    listeners: list[Listener] = []
    closers: list[Callable[[float], None]] = []
    if access is not None:
        listeners.append(access.ended)
        closers.append(lambda _: access.flush())
    if traced is not None:
        from dynamo_cli.frontend.request_trace.tracer import Tracer

        tracer = Tracer(traced)
        listeners.append(tracer.ended)
        closers.append(tracer.close)
    if spans is None:
        return Following(tuple(listeners), None, tuple(closers))
    return Following((*listeners, HttpSpans(spans).ended), spans.sampled, (*closers, spans.close))
