"""The last requests of a frontend: bounded, found by any of their ids, worded only when asked."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from dynamo_cli.errors import UsageError
from dynamo_cli.frontend.__main__ import _options, _parser
from dynamo_cli.frontend.app import Frontend, FrontendOptions
from dynamo_cli.protocol.instance import ModelIdentity
from tests.frontend.capture import HELLO
from tests.frontend.held import Held
from tests.frontend.toy import MODEL, Deployment, echo

CHAT = "/v1/chat/completions"
ASK = {"model": MODEL, "messages": HELLO, "max_tokens": 5}
IDENTITY = ModelIdentity(text_digest="toy", kv_block_size=4)


async def remembered(frontend: Frontend, path: str = "/requests") -> dict[str, Any]:
    transport = httpx.AsyncHTTPTransport(uds=str(frontend.server.unix_listeners[0][1]))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as admin:
        return dict((await admin.get(path)).json())


async def started(bare: Deployment, worker: Any = echo, **options: Any) -> httpx.AsyncClient:
    bare.frontend, bare.url = await bare.add_frontend(FrontendOptions(**options), service="frontend-0")
    await bare.add_worker(worker, service="decode-0", identity=IDENTITY)
    await bare.ready()
    return httpx.AsyncClient(base_url=bare.url, trust_env=False)


async def test_a_request_is_found_by_the_clients_id_by_the_answers_and_by_their_beginnings(bare: Deployment) -> None:
    async with await started(bare, router_mode="kv") as http:
        answer = (await http.post(CHAT, json=ASK, headers={"x-request-id": "mine/1?%"})).json()
        await http.post(CHAT, json={**ASK, "stream": True, "n": 2}, headers={"x-request-id": "other"})
        assert (await http.get("/requests")).status_code == 404
        assert (await http.get("/requests/other")).status_code == 404
    seen = await remembered(bare.frontend)
    assert (seen["frontend"], seen["kept"], seen["remembered"]) == ("frontend-0", 2000, 2)
    assert [one["id"] for one in seen["requests"]] == ["other", "mine/1?%"]
    for name in ("mine%2F1%3F%25", "mine", answer["id"], answer["id"][:-3], f"{answer['id']}-0"):
        (one,) = (await remembered(bare.frontend, f"/requests/{name}"))["requests"]
        assert (one["id"], one["answer_id"], one["model"]) == ("mine/1?%", answer["id"], MODEL)
    assert (one["status"], one["finish"], one["router_mode"], one["kind"]) == (200, "length", "kv", "chat")
    assert (one["prompt_tokens"], one["completion_tokens"], one["cached_tokens"]) == (10, 5, 3)
    assert 0 < one["ttft_s"] <= one["duration_s"] and one["began"] <= seen["since"]
    (leg,) = one["choices"][0]
    assert (leg["worker"], leg["prompt_blocks"], leg["among"]) == ("decode-0", 2, 1)
    assert [(one["worker"], one["cost"] > 0) for one in leg["candidates"]] == [("decode-0", True)]
    (two,) = (await remembered(bare.frontend, "/requests/other"))["requests"]
    assert two["streamed"] and len(two["choices"]) == 2
    assert (await remembered(bare.frontend, "/requests/nobody"))["requests"] == []


async def test_only_the_last_ones_are_kept_and_none_of_the_supervisors(bare: Deployment) -> None:
    async with await started(bare, kept_requests=2) as http:
        for number in range(4):
            await http.post(CHAT, json=ASK, headers={"x-request-id": f"r{number}"})
        await http.get("/v1/models")
    transport = httpx.AsyncHTTPTransport(uds=str(bare.frontend.server.unix_listeners[0][1]))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as admin:
        assert (await admin.post(CHAT, json=ASK)).status_code == 200
    seen = await remembered(bare.frontend)
    assert [one["id"] for one in seen["requests"]] == ["r3", "r2"]
    assert seen["requests"][0]["choices"][0][0]["worker"] == "decode-0"
    assert seen["requests"][0]["choices"][0][0].get("candidates", []) == []


async def test_one_that_runs_and_one_that_was_refused_are_there_too(bare: Deployment) -> None:
    held = Held()
    async with await started(bare, held) as http:
        assert (await http.post(CHAT, json={**ASK, "model": "no"}, headers={"x-request-id": "no"})).status_code == 404
        asking = asyncio.ensure_future(http.post(CHAT, json=ASK, headers={"x-request-id": "long"}))
        while len(seen := (await remembered(bare.frontend))["requests"]) < 2 or not seen[0].get("choices"):
            await asyncio.sleep(0.005)
        running, refused = seen
        assert running["running"] and "status" not in running and running["choices"][0][0]["worker"] == "decode-0"
        assert (refused["status"], refused["model"], refused.get("choices", [])) == (404, "", [])
        held.go.set()
        await asking
    assert not (await remembered(bare.frontend, "/requests/long"))["requests"][0].get("running")


async def test_it_can_be_switched_off(bare: Deployment) -> None:
    async with await started(bare, kept_requests=0) as http:
        await http.post(CHAT, json=ASK)
    assert await remembered(bare.frontend) == {
        **{"frontend": "frontend-0", "kept": 0, "remembered": 0, "since": None, "requests": []}
    }


def test_the_number_is_an_option_and_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYN_EXPLAIN_REQUESTS", "7")
    assert _options(_parser().parse_args([])).kept_requests == 7
    assert _options(_parser().parse_args(["--explain-requests", "0"])).kept_requests == 0
    for wrong in ("-1", "many", "1000001", "1.5"):
        with pytest.raises(UsageError, match=r"--explain-requests .*: want a whole number from 0 to 1000000"):
            _options(_parser().parse_args([f"--explain-requests={wrong}"]))
    monkeypatch.setenv("DYN_EXPLAIN_REQUESTS", "x")
    with pytest.raises(UsageError, match="DYN_EXPLAIN_REQUESTS 'x'"):
        _options(_parser().parse_args([]))
