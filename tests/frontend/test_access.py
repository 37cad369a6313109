from __future__ import annotations

import json
import logging
import re

import httpx
import pytest

from dynamo_cli.frontend.access import LOGGER, AccessLog, access_log
from dynamo_cli.frontend.journal import Journal
from dynamo_cli.frontend.record import Record
from dynamo_cli.runtime.http.exchange import Exchange
from dynamo_cli.runtime.http.request import Request
from dynamo_cli.runtime.logs import LogSettings
from tests.frontend.capture import HELLO
from tests.frontend.following import followed
from tests.frontend.toy import MODEL, Deployment, endless
from tests.runtime.waiting import until

CHAT = "/v1/chat/completions"
ASK = {"model": MODEL, "messages": HELLO, "max_tokens": 5}


class Logged:
    """An access log and what it has written until now."""

    def __init__(self, as_json: bool = False) -> None:
        self._lines: list[str] = []
        self._log = AccessLog(LogSettings(as_json=as_json), lambda text: self._lines.extend(text.splitlines()))
        self.ended = self._log.ended

    @property
    def lines(self) -> list[str]:
        self._log.flush()
        return self._lines


async def test_one_line_for_each_request_and_none_for_polls(bare: Deployment) -> None:
    log = Logged()
    async with followed(bare, log.ended, service="decode-0") as http:
        for path in ("/health", "/live", "/metrics", "/v1/models", f"/v1/models/{MODEL}", "/nothing"):
            await http.get(path)
        await http.post(CHAT, json=ASK, headers={"x-request-id": "mine"})
        await http.post(CHAT, json={**ASK, "stream": True, "n": 2})
        await http.post(CHAT, json={**ASK, "model": "other"})
        await http.post(CHAT, content=b"{")
        await http.post(CHAT, content=b"x", headers={"content-type": "text/plain"})
        await http.post("/tokenize", json={"prompt": "x"})
    when = r"\d\d:\d\d:\d\d INFO dynamo\.access: POST"
    times = r"ttft=[\d.]+ms duration=[\d.]+ms worker=decode-0"
    ours = r"request=req-\S+"
    for line, expected in zip(
        log.lines,
        (
            rf"{CHAT} 200 model=org/toy prompt=10 completion=5 cached=3 {times} finish=length request=mine",
            rf"{CHAT} 200 model=org/toy prompt=10 completion=10 cached=3 {times} finish=length {ours}",
            rf"{CHAT} 404 duration=[\d.]+ms {ours}",
            rf"{CHAT} 400 duration=[\d.]+ms {ours}",
            rf"{CHAT} 415 {ours}",
            rf"/tokenize 200 {ours}",
        ),
        strict=True,
    ):
        assert re.fullmatch(f"{when} {expected}", line), line


async def test_as_json_it_has_the_ids_and_a_field_for_each_figure(bare: Deployment) -> None:
    log = Logged(as_json=True)
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    async with followed(bare, log.ended) as http:
        await http.post(CHAT, json=ASK, headers={"x-request-id": "mine", "traceparent": f"00-{trace}-{span}-01"})
    (found,) = map(json.loads, log.lines)
    expected = {
        "level": "INFO",
        "target": LOGGER,
        "message": f"POST {CHAT} 200",
        "x_request_id": "mine",
        "trace_id": trace,
        "status": 200,
        "model": MODEL,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cached_tokens": 3,
        "finish_reason": "length",
        "stream": False,
    }
    assert expected.items() <= found.items()
    assert 0 < found["ttft_ms"] <= found["duration_ms"] and found["span_id"] != span


async def test_a_client_that_leaves_is_said_to_have_left(bare: Deployment) -> None:
    log = Logged()
    async with followed(bare, log.ended, worker=endless) as http:
        async with http.stream("POST", CHAT, json={**ASK, "stream": True, "max_tokens": 9999}) as answer:
            await anext(answer.aiter_bytes())
        with pytest.raises(httpx.ReadTimeout):
            await http.post(CHAT, json={**ASK, "max_tokens": 9999}, timeout=0.2)
        await until(lambda: len(log.lines) == 2)
    assert f"{CHAT} 200 " in log.lines[0] and " error=cancelled " in log.lines[0]
    assert f"{CHAT} 499 " in log.lines[1] and " error=cancelled " in log.lines[1]


async def test_what_a_client_made_up_cannot_make_lines_or_tell_secrets(bare: Deployment) -> None:
    log = Logged()
    async with followed(bare, log.ended) as http:
        await http.post("/a%0a12:00:00%20INFO%20x", json={}, headers={"x-request-id": "hf_abcdefghijkl"})
        await http.post("/" + "x" * 900, json={})
    assert len(log.lines) == 2
    assert r"POST '/a\n12:00:00\x20INFO\x20x' 404 request=***" in log.lines[0]
    assert len(log.lines[1]) < 300


async def test_the_supervisors_questions_have_no_line(bare: Deployment) -> None:
    log = Logged()
    async with followed(bare, log.ended, admin=True):
        (socket,) = bare.admin_sockets
        transport = httpx.AsyncHTTPTransport(uds=str(socket))
        async with httpx.AsyncClient(transport=transport, base_url="http://admin") as admin:
            assert (await admin.post(CHAT, json=ASK)).status_code == 200
    assert log.lines == []


async def test_lines_that_come_together_are_written_together(bare: Deployment) -> None:
    writes: list[str] = []
    access = AccessLog(LogSettings(), writes.append)
    async with followed(bare) as http:
        exchange = Exchange(None, Request("POST", CHAT, {}, "1.1", False))  # type: ignore[arg-type]
        for _ in range(3):
            access.ended(exchange, None)
        assert writes == []
        await until(lambda: bool(writes))
        assert len(writes) == 1 and writes[0].count("\n") == 3
        await http.get("/live")


def test_below_its_level_there_is_no_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOGGER):
        assert access_log(LogSettings()) is not None
    with caplog.at_level(logging.WARNING, LOGGER):
        assert access_log(LogSettings()) is None


async def test_a_listener_that_fails_harms_nobody_and_is_heard_of_once(
    bare: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []

    def broken(exchange: Exchange, record: Record | None) -> None:
        raise RuntimeError("no")

    async with followed(bare, broken, lambda exchange, record: heard.append(exchange.status)) as http:
        for _ in range(2):
            assert (await http.post(CHAT, json=ASK)).status_code == 200
    assert heard == [200, 200]
    assert [record.levelname for record in caplog.records if record.name == Journal.__module__] == ["ERROR"]
