"""How a request went, in words, and which one is meant by what was typed."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest

from dynamo_cli.errors import NotReady, UsageError
from dynamo_cli.protocol.explained import Attempt, Candidate, ExplainedRequest, Remembered
from dynamo_cli.runtime.control import RememberedRequests
from dynamo_cli.supervisor import explaining
from dynamo_cli.supervisor.explanation import explanation, listing, why

CANDIDATES = [
    Candidate(worker="decode-0", worker_id="a", cost=905.0, prefill_tokens=400, blocks=30, requests=2),
    Candidate(worker="decode-1", worker_id="b", cost=210.5, overlap_blocks=12),
]


def attempt(**more: Any) -> Attempt:
    facts = {"worker": "decode-1", "worker_id": "b", "after_s": 0.001, "prompt_blocks": 14, "among": 2}
    return Attempt(**{**facts, "candidates": CANDIDATES, **more})


def request(**more: Any) -> ExplainedRequest:
    facts = {"id": "mine", "answer_id": "chatcmpl-1", "frontend": "frontend-0", "router_mode": "kv", "kind": "chat"}
    return ExplainedRequest(**{**facts, "model": "org/m", "began": time.time(), "status": 200, **more})


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "12 of 14 blocks cached there; cost 210.5 against 905.0 of decode-0"),
        ({"pinned": True}, "the client named it"),
        ({"advised": True}, "the router process chose it; 12 of 14 blocks cached there"),
        ({"bound": True, "session": "s"}, "requests of session s go there"),
        ({"among": 1}, "nobody else could take it"),
        ({"candidates": []}, "by router mode kv, of 2 workers"),
        ({"prompt_blocks": 0}, "its prompt fills no block; cost 210.5 against 905.0 of decode-0"),
        (
            {"worker": "decode-0", "worker_id": "a"},
            "0 of 14 blocks cached there; drawn by chance, cost 905.0 against 210.5 of decode-1",
        ),
        (
            {"candidates": [Candidate(worker=name, worker_id=name[-1], cost=7.0) for name in ("decode-a", "decode-b")]},
            "none of its 14 blocks is cached anywhere; cost 7.0 as that of decode-a, so one of them by lot",
        ),
    ],
)
def test_why_a_worker_was_chosen(facts: dict[str, Any], words: str) -> None:
    assert why(attempt(**facts), "kv") == words


def test_a_request_that_moved() -> None:
    lost = attempt(left="the worker closed the connection", tokens=31, spared=["decode-2"], session="s")
    there = attempt(worker="decode-0", worker_id="a", after_s=1.25, candidates=[], among=1)
    figures = {"prompt_tokens": 912, "completion_tokens": 64, "cached_tokens": 768, "ttft_s": 0.0214}
    found = request(choices=[[lost, there]], streamed=True, finish="length", duration_s=2.5, **figures)
    lines = explanation(found).splitlines()
    assert lines[0] == "request mine (chatcmpl-1)"
    assert lines[1].endswith("frontend-0, org/m: chat, streamed") and lines[2] == "its wishes: session s"
    assert lines[4] == "decode-1, after 1.0 ms: 12 of 14 blocks cached there; cost 210.5 against 905.0 of decode-0"
    assert lines[5] == "    left out as too busy: decode-2"
    assert [line.split() for line in lines[6:9]] == [
        ["WORKER", "COST", "FOUND", "QUEUED", "IN", "USE", "REQUESTS"],
        [">", "decode-1", "210.5", "12", "0", "0", "0"],
        ["decode-0", "905.0", "0", "400", "30", "2"],
    ]
    assert lines[9] == "    lost there after 31 tokens: the worker closed the connection"
    assert lines[10] == "decode-0, after 1.25 s: nobody else could take it"
    assert lines[-1] == (
        "status 200, finished by length: 912 tokens of prompt (768 cached), 64 tokens of answer; "
        "first token after 21.4 ms, 2.50 s in all"
    )


def test_one_that_reached_no_worker_and_one_that_runs() -> None:
    refused = explanation(request(status=404, problem="not_found", answer_id="", model=""))
    assert "no model: chat" in refused and "it was sent to no worker" in refused
    assert refused.endswith("status 404, not whole: not_found; 0.0 ms in all")
    runs = explanation(request(running=True, status=0, ttft_s=0.5, duration_s=3.0, choices=[[attempt()]]))
    assert runs.endswith("still running, for 3.00 s, first token after 500.0 ms")


def test_the_list_fits_80_columns() -> None:
    mine = request(id="req-91e714a6a089-2f", prompt_tokens=62, completion_tokens=16, ttft_s=0.0214, duration_s=0.184)
    mine.choices = [[attempt(left="lost"), attempt(worker="decode-0")]]
    lines = listing([mine, request(id="other", running=True)]).splitlines()
    assert lines[0].split() == ["TIME", "ID", "STATUS", "PROMPT", "TOKENS", "TTFT", "TOTAL", "WORKER"]
    assert lines[1].split()[1:] == [
        *("req-91e714a6a089-2f", "200", "62", "16", "21", "ms", "184", "ms", "decode-1", ">", "decode-0")
    ]
    assert lines[2].split()[2:] == ["runs", "-", "-", "-", "0", "ms", "-"]
    assert lines[1].index("decode-1") + len("decode-0") <= 80


class Told:
    """A deployment whose frontends remember these."""

    name = "agg"

    def __init__(self, *requests: ExplainedRequest, lines: tuple[str, ...] = (), **problems: str) -> None:
        remembered = Remembered(frontend="frontend-0", kept=2000, remembered=7, since=time.time())
        remembered.requests = list(requests)
        self._told = RememberedRequests({"frontend-0": remembered}, problems)
        self.lines = list(lines)

    @property
    def client(self) -> Any:
        return self

    def requests(self, request_id: str = "") -> RememberedRequests:
        return self._told


@pytest.fixture(autouse=True)
def logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "access_lines", lambda deployment, wanted: deployment.lines)


def find(told: Told, wanted: str) -> explaining.Found:
    return explaining.find(cast(Any, told), wanted)


def test_a_whole_id_wins_and_a_beginning_must_be_of_one_request() -> None:
    one, longer = request(id="a"), request(id="ab", answer_id="chatcmpl-2", began=1.0)
    assert find(Told(one, longer), "a").requests == [one]
    assert find(Told(one), "chatcmpl-1-0").requests == [one]
    assert find(Told(longer), "chatcmpl").requests == [longer]
    with pytest.raises(UsageError, match="several requests begin with chat: chatcmpl-1, chatcmpl-2; type more of it"):
        find(Told(one, longer), "chat")


def test_an_id_used_again_gives_all_of_them_the_newest_first() -> None:
    old, new = request(id="a", began=1.0), request(id="a", began=2.0, answer_id="chatcmpl-2")
    assert find(Told(old, new), "a").requests == [new, old]


def test_nobody_remembers_it() -> None:
    assert find(Told(lines=("POST /v1/chat/completions 200 request=x",)), "x") == (
        [],
        ["POST /v1/chat/completions 200 request=x"],
    )
    with pytest.raises(NotReady) as error:
        find(Told(**{"frontend-1": "no answer within 1 s"}), "x")
    assert (
        "no frontend remembers a request x, and no access line names it: frontend-0 remembers 7 requests, since "
        in (str(error.value))
    )
    assert str(error.value).endswith("frontend-1 tells nothing: no answer within 1 s")


def test_the_clock_names_the_day_when_it_is_another() -> None:
    now = time.mktime((2026, 1, 31, 15, 4, 5, 0, 0, -1))
    assert explaining.clock(now, now) == "15:04:05"
    assert explaining.clock(now - 86400, now) == "2026-01-30 15:04:05"
