"""Which request somebody means, of those that the frontends remember."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from dynamo_cli.errors import NotReady, UsageError
from dynamo_cli.logs.query import Query
from dynamo_cli.protocol.explained import ExplainedRequest, Remembered
from dynamo_cli.runtime.control import RememberedRequests
from dynamo_cli.supervisor.deployments import Deployment
from dynamo_cli.supervisor.reader import read_logs

SHOWN_IDS = 5
LINES = 5


class Found(NamedTuple):
    """The newest of `requests` first. `lines`: what the log has of it when no frontend remembers it."""

    requests: list[ExplainedRequest]
    lines: list[str]


def find(deployment: Deployment, wanted: str) -> Found:
    """By the client's id or the answer's, or the beginning of one.

    UsageError when several begin so, NotReady when there is none: it says how far back anybody remembers.
    """
    told = deployment.client.requests(wanted)
    requests = newest_first(told)
    exact = [one for one in requests if is_named(one, wanted)]
    if exact:
        return Found(exact, [])
    ids = list(dict.fromkeys(_id_that_begins(one, wanted) for one in requests))
    if len(ids) > 1:
        more = f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else ""
        raise UsageError(f"several requests begin with {wanted}: {', '.join(ids[:SHOWN_IDS])}{more}; type more of it")
    if requests:
        return Found(requests, [])
    lines = access_lines(deployment, wanted)
    if not lines:
        raise NotReady(f"no frontend remembers a request {wanted}, and no access line names it: {reach(told)}")
    return Found([], lines)


def newest_first(told: RememberedRequests) -> list[ExplainedRequest]:
    """Those that run before all others."""
    every = [one for frontend in told.frontends.values() for one in frontend.requests]
    return sorted(every, key=lambda one: (not one.running, -one.began))


def is_named(request: ExplainedRequest, wanted: str) -> bool:
    own = request.answer_id
    return wanted in (request.id, own) or (bool(own) and wanted.startswith(f"{own}-"))


def reach(told: RememberedRequests) -> str:
    """How far back each frontend remembers."""
    words = [_reach(frontend) for frontend in told.frontends.values()]
    words += [f"{name} tells nothing: {problem}" for name, problem in told.problems.items()]
    return "; ".join(words) or "no frontend is there to ask"


def access_lines(deployment: Deployment, wanted: str) -> list[str]:
    """What access lines of the log have this id, or one that begins so."""
    pattern = re.compile(rf"dynamo\.access.*(request=|x_request_id\W+){re.escape(wanted)}")
    query = Query(pattern=pattern, tail=LINES)
    return list(read_logs(deployment.name, [], query, False, lambda width: lambda line: line.text))


def _id_that_begins(request: ExplainedRequest, wanted: str) -> str:
    return request.answer_id if request.answer_id.startswith(wanted) else request.id


def _reach(frontend: Remembered) -> str:
    if not frontend.kept:
        return f"{frontend.frontend} remembers none (DYN_EXPLAIN_REQUESTS=0)"
    if frontend.since is None:
        return f"{frontend.frontend} has had none yet"
    noun = "request" if frontend.remembered == 1 else "requests"
    return f"{frontend.frontend} remembers {frontend.remembered} {noun}, since {clock(frontend.since)}"


def clock(seconds: float, now: float | None = None) -> str:
    """Local time; with the date when it is not of today."""
    moment = datetime.fromtimestamp(seconds)
    today = datetime.fromtimestamp(time.time() if now is None else now).date()
    return moment.strftime("%H:%M:%S" if moment.date() == today else "%Y-%m-%d %H:%M:%S")


def workers_of(request: ExplainedRequest) -> Iterable[str]:
    """Each that had it, in order."""
    return dict.fromkeys(attempt.worker for attempts in request.choices for attempt in attempts)
