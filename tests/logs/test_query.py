from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from dynamo_cli.errors import UsageError
from dynamo_cli.logs.levels import level_of
from dynamo_cli.logs.moment import moment
from dynamo_cli.logs.query import Filter, last_of_each, make_query, writer
from dynamo_cli.logs.tail import Line

NOW = datetime(2026, 1, 2, 15, 0, 0, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("17:01:02 INFO dynamo.worker: serving", logging.INFO),
        ("INFO 01-02 10:00:00 [api_server.py:12] vLLM", logging.INFO),
        ("(EngineCore pid=7) WARNING 01-02 10:00:00 slow", logging.WARNING),
        ("[2026-01-02 10:00:00] ERROR: sglang", logging.ERROR),
        ("2026-01-02 10:00:00,123 - root - CRITICAL - gone", logging.CRITICAL),
        ("INFO:     127.0.0.1:5 - GET /", logging.INFO),
        ("warning: unused", logging.WARNING),
        ("0.00.123.456 W common_init: slow", logging.WARNING),
        ("E0102 10:00:00.123456 7 file.cc:1] glog", logging.ERROR),
        ('{"time":"2026-01-02T10:00:00Z","level":"WARN","message":"x"}', logging.WARNING),
        ('{"severity":"error"}', logging.ERROR),
        ("[TensorRT-LLM][DEBUG] x", logging.DEBUG),
        ("{not json", None),
        ("Traceback (most recent call last):", None),
        ("information is no level", None),
        ("", None),
    ],
)
def test_levels_of_everybody(text: str, level: int | None) -> None:
    assert level_of(text) == level


@pytest.mark.parametrize(
    ("text", "stamp"),
    [
        ("5m", "2026-01-02T13:55:00.000Z"),
        ("1h30m", "2026-01-02T12:30:00.000Z"),
        ("1.5s", "2026-01-02T13:59:58.500Z"),
        ("2d", "2025-12-31T14:00:00.000Z"),
        ("14:30", "2026-01-02T13:30:00.000Z"),
        ("09:05:07", "2026-01-02T08:05:07.000Z"),
        ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00.000Z"),
        ("2026-01-01T10:00:00+02:00", "2026-01-01T08:00:00.000Z"),
        ("2026-01-01 10:00:00", "2026-01-01T09:00:00.000Z"),
        ("2026-01-01", "2025-12-31T23:00:00.000Z"),
    ],
)
def test_moments(text: str, stamp: str) -> None:
    assert moment(text, "--since", NOW) == stamp


@pytest.mark.parametrize("text", ["", "soon", "5", "5x", "25:00", "2026-13-01", "99999999999d"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(UsageError, match=r"--until .*: expected 5m"):
        moment(text, "--until", NOW)


def lines() -> list[Line]:
    return [
        Line("a", "10:00 INFO x: one", "2026-01-02T10:00:01.000Z"),
        Line("b", "10:00 ERROR x: broken", "2026-01-02T10:00:02.000Z"),
        Line("b", "Traceback (most recent call last)", ""),
        Line("a", "10:00 DEBUG x: two", "2026-01-02T10:00:03.000Z"),
    ]


def chosen(**asked: Any) -> list[str]:
    fields = {"since": None, "until": None, "grep": None, "level": None, "tail": None, **asked}
    passes = Filter(make_query(**fields, now=NOW))
    return [line.text.split(": ")[-1] for line in lines() if passes.wants(line)]


def test_filters() -> None:
    assert len(chosen()) == 4
    assert chosen(level="warn") == ["broken", "Traceback (most recent call last)"]
    assert chosen(level="INFO") == ["one", "broken", "Traceback (most recent call last)"]
    assert chosen(since="2026-01-02T10:00:02Z") == ["broken", "Traceback (most recent call last)", "two"]
    assert chosen(until="2026-01-02T10:00:02Z") == ["one", "broken", "Traceback (most recent call last)"]
    assert chosen(grep="t[wr]", level="debug") == ["two"]


@pytest.mark.parametrize(
    ("asked", "words"), [({"level": "loud"}, "--level loud: expected one of"), ({"grep": "["}, r"--grep \[: not a reg")]
)
def test_wrong_questions(asked: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        chosen(**asked)


def test_the_last_of_each_in_their_order() -> None:
    assert [line.text.split(": ")[-1] for line in last_of_each(lines(), 1)] == [
        "Traceback (most recent call last)",
        "two",
    ]
    assert list(last_of_each(lines(), 0)) == []


def test_how_lines_are_written() -> None:
    line = lines()[0]
    assert writer(False, False, 3)(line) == "a   | 10:00 INFO x: one"
    assert writer(False, True, 1)(line) == "2026-01-02T10:00:01.000Z a | 10:00 INFO x: one"
    assert json.loads(writer(True, False, 1)(line)) == {
        "time": "2026-01-02T10:00:01.000Z",
        "service": "a",
        "level": "info",
        "text": "10:00 INFO x: one",
    }
