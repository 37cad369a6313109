"""One load level against a server: when what is sent, and what is recorded of it."""

from __future__ import annotations

import socket
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from dynamo_cli.bench.record import RequestRecord
from dynamo_cli.bench.run import Level, run_level
from dynamo_cli.bench.target import parse_url
from dynamo_cli.bench.work.synthetic import Shape
from dynamo_cli.bench.work.trace import Trace
from dynamo_cli.bench.workload import Workload
from tests.bench.server import Server, serving
from tests.bench.test_work import trace, trace_line

SHORT = Shape(isl=3, osl=4)


def level(server: Server, model: str = "good", **changes: object) -> Level:
    settings = {"shape": SHORT, "timeout_s": 10.0, **changes}
    return run_level(parse_url(server.url), model, Workload(**settings))  # type: ignore[arg-type]


def lateness_ms(records: list[RequestRecord]) -> list[float]:
    return [record.sent_ms - record.due_ms for record in records]


def messages(body: dict) -> list[str]:
    return [message["content"] for message in body["messages"]]


def test_a_closed_loop_sends_when_an_answer_came() -> None:
    with serving() as server:
        records = level(server, "slow", requests=12, concurrency=3).records
        assert server.most_in_flight == 3
    assert [record.id for record in records] == list(range(1, 13))
    assert set(lateness_ms(records)) == {0.0}
    assert all(record.completion_tokens == record.requested_tokens == 4 for record in records)
    assert all(len(record.itl_ms) == 3 for record in records)


@pytest.mark.alone
def test_an_open_loop_keeps_its_schedule_however_slow_the_server_is() -> None:
    with serving() as server:
        records = level(server, "slow", requests=30, rate=200.0, arrivals="constant").records
        assert server.most_in_flight > 8, "80 ms an answer, one every 5 ms"
    assert [record.due_ms for record in records] == [5.0 * n for n in range(30)]
    assert min(lateness_ms(records)) >= 0
    assert sorted(lateness_ms(records))[15] < 3


def test_the_most_in_flight_of_an_open_loop() -> None:
    with serving() as server:
        records = level(server, "slow", requests=20, rate=1000.0, arrivals="constant", max_concurrency=2).records
        assert server.most_in_flight == 2
    assert max(lateness_ms(records)) > 300, "it waited, and the record says so"


def test_a_trace_gives_the_times(tmp_path: Path) -> None:
    file = trace(tmp_path, *(trace_line(at, 600, [7], output=2) for at in (0, 0, 400, 1000)))
    with serving() as server:
        records = level(server, trace=Trace(file, speed=10), requests=4).records
        assert len({messages(body)[0][:500] for body in server.bodies}) == 1
        assert [len(messages(body)[0].split()) for body in server.bodies] == [600] * 4
        assert {body["max_tokens"] for body in server.bodies} == {2}
    assert [record.due_ms for record in records] == [0, 0, 40, 100]


def test_sending_ends_after_the_duration_and_answers_are_waited_for() -> None:
    with serving() as server:
        run, records, _ = level(server, "slow", duration_s=0.3, concurrency=2)
        assert len(records) == len(server.bodies)
    assert not [record.error for record in records if record.error]
    assert 200 < max(record.sent_ms for record in records) < 300
    assert run.duration_s > 0.3


@pytest.mark.parametrize("changes", [{"concurrency": 10}, {"rate": 100.0, "arrivals": "constant"}])
def test_a_ramp_begins_slowly(changes: dict) -> None:
    with serving() as server:
        records = level(server, "slow", duration_s=1.7, ramp_s=1.6, **changes).records
    early = [record for record in records if record.sent_ms < 800]
    late = [record for record in records if 800 <= record.sent_ms < 1600]
    assert 1 < len(early) * 1.8 < len(late)


def test_a_conversation_carries_its_own_answers_one_turn_at_a_time() -> None:
    shape = Shape(isl=3, osl=3, turns=3)
    with serving() as server:
        records = level(server, requests=12, concurrency=2, shape=shape, think_s=0.05).records
        assert server.most_in_flight <= 2
        bodies = server.bodies
    by_session: dict[int, list[RequestRecord]] = defaultdict(list)
    for record in records:
        by_session[record.session].append(record)
    assert sorted(by_session) == [0, 1, 2, 3]
    for turns in by_session.values():
        assert [record.turn for record in turns] == [0, 1, 2]
        for before, after in pairwise(turns):
            assert after.sent_ms >= before.sent_ms + before.e2e_ms + 50
    assert sorted(len(messages(body)) for body in bodies) == [1] * 4 + [3] * 4 + [5] * 4
    last = [messages(body) for body in bodies if len(messages(body)) == 5]
    assert {answer for talk in last for answer in talk[1::2]} == {" w0 w1 w2"}
    assert all(talk[:3] in [messages(body) for body in bodies] for talk in last)


def test_a_turn_that_failed_ends_its_conversation() -> None:
    with serving() as server:
        records = level(server, "http-500", requests=6, concurrency=1, shape=Shape(turns=3)).records
    assert [(record.session, record.turn) for record in records] == [(0, 0), (1, 0)]


def test_conversations_of_an_open_loop_bring_the_rate_of_requests() -> None:
    shape = Shape(isl=3, osl=3, turns=4)
    with serving() as server:
        records = level(server, requests=40, rate=400.0, arrivals="constant", shape=shape).records
    first = [record.due_ms for record in records if record.turn == 0]
    assert first == [10.0 * n for n in range(10)], "a conversation of 4 requests every 10 ms"


def test_given_up_requests_are_neither_complete_nor_errors() -> None:
    with serving() as server:
        records = level(server, "slow", requests=20, concurrency=10, cancel_rate=0.5, shape=Shape(osl=10)).records
        server.hung_up.wait(5)
        assert server.hung_up.is_set(), "the server learns of it"
    given_up = [record for record in records if record.cancelled]
    assert 3 <= len(given_up) <= 17
    assert not [record.error for record in records if record.error]
    assert not [record for record in given_up if record.ok or not 1 <= record.completion_tokens <= 10]
    assert all(record.ok for record in records if not record.cancelled)


def test_headers_and_fields_of_the_user() -> None:
    with serving() as server:
        level(server, requests=1, headers={"x-team": "a b"}, extra={"temperature": 0}, ignore_eos=True)
        assert server.heads[0]["x-team"] == "a b"
        assert (server.bodies[0]["temperature"], server.bodies[0]["ignore_eos"]) == (0, True)
        assert "nvext" not in server.bodies[0]


def test_levels_of_a_run_send_different_prompts() -> None:
    with serving() as server:
        for first in (0, 10):
            run_level(parse_url(server.url), "good", Workload(10, shape=SHORT, warmup=3), first=first)
        prompts = [messages(body)[0] for body in server.bodies]
    assert len(prompts) == 26
    assert len(set(prompts)) == 23, "only the warm-up is the same"


def test_a_level_can_end_when_enough_is_known() -> None:
    with serving() as server:
        found = run_level(
            parse_url(server.url), "slow", Workload(1000, 2, shape=SHORT), watch=lambda record: record.id >= 4
        )
    assert 2 <= len(found.records) <= 6
    assert not found.interrupted


def test_a_server_that_is_gone_is_asked_gently() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        work = Workload(duration_s=0.4, concurrency=2, shape=SHORT)
        records = run_level(parse_url(url), "m", work).records
    assert {record.error for record in records} == {"cannot connect"}
    assert len(records) < 30
