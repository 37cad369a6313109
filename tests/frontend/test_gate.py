"""What the public port asks of a request before it reads its body: a key, JSON; and what web pages may do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from dynamo_cli.errors import UsageError
from dynamo_cli.frontend.app import FrontendOptions
from dynamo_cli.frontend.gate import Gate
from dynamo_cli.runtime.http.cors import Cors
from dynamo_cli.runtime.http.keys import load_keys
from tests.frontend.toy import MODEL, Deployment

PAGE = "https://page.example"
CHAT = "/v1/chat/completions"


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], **fields}


async def client(bare: Deployment, gate: Gate) -> httpx.AsyncClient:
    await bare.start(FrontendOptions(gate=gate), admin=True)
    await bare.add_worker()
    await bare.ready()
    return httpx.AsyncClient(base_url=bare.url, trust_env=False)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_every_request_needs_a_key(bare: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# of the night shift\n\n  third \n")
    async with await client(bare, Gate(load_keys("first, second", str(file)))) as http:
        for key in ("first", "second", "third"):
            assert (await http.post(CHAT, json=chat(), headers=bearer(key))).status_code == 200
            assert (await http.get("/v1/models", headers={"Authorization": f"bearer  {key}"})).status_code == 200
        for headers in (
            {},
            bearer("wrong"),
            {"authorization": "Bearer"},
            bearer("firs"),
            bearer("first, second"),
            {"authorization": "Basic first"},
        ):
            for path in ("/v1/models", f"/v1/models/{MODEL}", CHAT, "/v1%2Fmodels", "/nothing", "/v1/models/"):
                answer = await http.request("POST" if path == CHAT else "GET", path, headers=headers)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
                error = answer.json()["error"]
                assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
        for path in ("/health", "/live", "/metrics", "/health/"):
            assert (await http.get(path)).status_code == 200


async def test_the_admin_socket_needs_none(bare: Deployment) -> None:
    async with await client(bare, Gate(load_keys("secret", None))):
        (socket,) = bare.admin_sockets
        transport = httpx.AsyncHTTPTransport(uds=str(socket))
        async with httpx.AsyncClient(transport=transport, base_url="http://admin") as admin:
            assert (await admin.post(CHAT, json=chat())).status_code == 200
            assert (await admin.get("/health")).json()["status"] == "ready"


@pytest.mark.parametrize(
    ("variable", "text", "line"),
    [
        (" , ", None, "DYN_API_KEYS holds no key"),
        ("a b", None, "DYN_API_KEYS: key 1 holds a letter that no header can carry"),
        ("a,schlüssel", None, "DYN_API_KEYS: key 2 holds a letter that no header can carry"),
        (None, "\n# none\n", "--api-keys-file {}: holds no key"),
        (None, "\xff\n", "--api-keys-file {}: is no text"),
    ],
)
def test_keys_that_cannot_be_are_said(variable: str | None, text: str | None, line: str, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes((text or "").encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        load_keys(variable, None if text is None else str(file))
    assert str(caught.value) == line.format(file)
    assert "schl" not in str(caught.value)


def test_no_keys_are_no_lock() -> None:
    assert load_keys(None, None) is None
    assert load_keys("", "") is None
    with pytest.raises(UsageError, match=r"^--api-keys-file /none: No such file or directory$"):
        load_keys("a", "/none")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("application/vnd.api+json", 200),
        (None, 200),
        ("text/plain", 415),
        ("text/plain; x=application/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("", 415),
        ("\xff", 415),
    ],
)
async def test_a_body_is_json_or_says_nothing(deployment: Deployment, kind: str | None, status: int) -> None:
    headers = {} if kind is None else {"content-type": kind.encode("latin-1")}
    async with httpx.AsyncClient(base_url=deployment.url, trust_env=False) as http:
        body = httpx.Request("POST", deployment.url, json=chat()).content
        answer = await http.post(CHAT, content=body, headers=headers)
    assert answer.status_code == status
    if status == 415:
        assert answer.json()["error"]["message"].endswith("is not JSON; send application/json")


async def test_a_web_page_cannot_leave_out_what_it_sends(deployment: Deployment) -> None:
    """What it may send without asking first has no content type at all when it is a Blob without one."""
    async with httpx.AsyncClient(base_url=deployment.url, trust_env=False) as http:
        for path in (CHAT, "/busy_threshold", "/tokenize"):
            answer = await http.post(path, content=b"{}", headers={"origin": PAGE})
            assert answer.status_code == 415
            assert answer.json()["error"]["message"].startswith("a web page must say what it sends")
        asked = await http.post(CHAT, json=chat(), headers={"origin": deployment.url})
        assert asked.status_code == 200


async def test_pages_of_named_origins_may_ask(bare: Deployment) -> None:
    async with await client(bare, Gate(load_keys("key", None), Cors([PAGE, "http://localhost:3000/"]))) as http:
        preflight = await http.options(
            CHAT,
            headers={
                "origin": PAGE,
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization,content-type,x-stainless-os",
            },
        )
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == PAGE
        assert preflight.headers["access-control-allow-methods"] == "GET, POST, HEAD, OPTIONS"
        assert preflight.headers["access-control-allow-headers"] == "authorization,content-type,x-stainless-os"
        assert int(preflight.headers["access-control-max-age"]) > 0
        assert preflight.headers["vary"] == "Origin"

        asked = {"origin": PAGE, **bearer("key")}
        answers = [
            await http.get("/v1/models", headers={"origin": PAGE, **bearer("key")}),
            await http.post(CHAT, json=chat(stream=True), headers=asked),
            await http.post(CHAT, json=chat(temperature=9), headers=asked),
            await http.get("/v1/models", headers={"origin": PAGE}),
            await http.post(CHAT, content=b"x", headers={**asked, "content-type": "text/plain"}),
            await http.get("/nothing", headers={**asked, "origin": "http://LOCALHOST:3000".lower()}),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 400, 401, 415, 404]
        for answer in answers:
            assert answer.headers["access-control-allow-origin"] in (PAGE, "http://localhost:3000")
            assert answer.headers["vary"] == "Origin"
            assert "x-request-id" in answer.headers["access-control-expose-headers"]

        for headers in ({}, {"origin": "https://other.example"}, {"origin": PAGE + ".evil"}):
            answer = await http.get("/health", headers=headers)
            assert (answer.status_code, answer.headers["vary"]) == (200, "Origin")
            assert "access-control-allow-origin" not in answer.headers


async def test_any_origin_and_none(bare: Deployment) -> None:
    async with await client(bare, Gate(cors=Cors(["*"]))) as http:
        answer = await http.get("/health", headers={"origin": "null"})
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "vary" not in answer.headers


async def test_cors_is_off_by_default(http: httpx.AsyncClient) -> None:
    answer = await http.options(CHAT, headers={"origin": PAGE, "access-control-request-method": "POST"})
    assert (answer.status_code, answer.headers["allow"]) == (204, "POST, OPTIONS")
    assert not [name for name in answer.headers if name.startswith("access-control") or name == "vary"]


@pytest.mark.parametrize("origin", ["page.example", "https://page.example/path", "https://", "*.example", "a b"])
def test_an_origin_that_is_none_is_said(origin: str) -> None:
    with pytest.raises(UsageError, match=r"expected an origin such as https://example\.com, or \*"):
        Cors([origin])
