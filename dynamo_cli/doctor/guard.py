"""Asks questions so that one that fails or hangs is a line of the report, and the others are still asked."""

from __future__ import annotations

import threading

from dynamo_cli.doctor.check import Check, Question, error
from dynamo_cli.runtime.redact import redact
from dynamo_cli.topology.words import one_line

HOME_FIX = "set HOME, or DYNAMO_HOME and XDG_CACHE_HOME"


def answers(question: Question, timeout_s: float) -> list[Check]:
    """Its checks on one line each and without secrets; one error when it raised, or took longer than `timeout_s`."""
    given: list[list[Check]] = []
    # A file system that hangs cannot be interrupted; then the thread is left to it.
    thread = threading.Thread(target=lambda: given.append(_asked(question)), daemon=True, name=question.name)
    thread.start()
    thread.join(timeout_s)
    if not given:
        return [error(question.name, f"could not be checked: no answer within {timeout_s:g} s")]
    return [_covered(check) for check in given[0]]


def _asked(question: Question) -> list[Check]:
    try:
        found = question.answer()
        return [found] if isinstance(found, Check) else list(found)
    except Exception as failure:
        words = " ".join(str(failure).split()) or type(failure).__name__
        # What pathlib says for a user that the system does not know and that has no HOME.
        fix = HOME_FIX if "home directory" in words else ""
        return [error(question.name, f"could not be checked: {words}", fix)]


def _covered(check: Check) -> Check:
    return check._replace(detail=one_line(redact(check.detail)), fix=one_line(redact(check.fix)))
