"""What a deployment that is ready says."""

from __future__ import annotations

import ast
import json
import shlex
from typing import Any

import pytest

from dynamo_cli.runtime.control import Access, DeploymentStatus
from dynamo_cli.supervisor.access import access_of
from dynamo_cli.supervisor.banner import banner, brief, curl, snippet
from tests.supervisor.plans import frontend, plan, worker

URL = "http://127.0.0.1:8000"


def ready(**fields: Any) -> DeploymentStatus:
    facts = {"deployment": "agg", "state": "READY", "url": URL, "models": ["org/m"], "kinds": {"org/m": "chat"}}
    return DeploymentStatus(**{**facts, **fields})


@pytest.mark.parametrize(
    ("kind", "path", "body"),
    [
        ("chat", "chat/completions", {"messages": [{"role": "user", "content": "What color is the sky?"}]}),
        ("completions", "completions", {"prompt": "What color is the sky?", "max_tokens": 32}),
        ("embeddings", "embeddings", {"input": "What color is the sky?"}),
    ],
)
def test_a_model_is_asked_as_it_can_answer(kind: str, path: str, body: dict[str, Any]) -> None:
    status = ready(kinds={"org/m": kind})
    words = shlex.split(curl(status))
    assert words[:2] == ["curl", f"{URL}/v1/{path}"] and json.loads(words[-1]) == {"model": "org/m", **body}
    code = "\n".join(snippet(status))
    ast.parse(code)
    assert f"client.{path.replace('/', '.')}.create(model=" in code


def test_names_that_a_shell_would_take_apart() -> None:
    assert json.loads(shlex.split(curl(ready(models=["it's $HOME"])))[-1])["model"] == "it's $HOME"


def test_tls_keys_and_client_certificates() -> None:
    status = ready(url="https://127.0.0.1:8443", access=Access(api_keys=True, client_certificate=True))
    words = curl(status)
    assert ' -k --cert client.pem --key client.key -H "Authorization: Bearer $API_KEY" ' in words
    code = "\n".join(snippet(status))
    ast.parse(code)
    assert 'httpx.Client(verify=False, cert=("client.pem", "client.key"))' in code
    assert "`export API_KEY=...` first" in banner(status) and "`export API_KEY=...` first" in brief(status)
    assert "-k" not in curl(ready()) and "httpx" not in "\n".join(snippet(ready()))


def test_what_to_try_next() -> None:
    talk = "next: `dynamo chat` talks to it, `dynamo top agg` shows what it does, `dynamo bench` measures it, "
    assert banner(ready()).endswith(f"{talk}Ctrl-C or `dynamo down agg` stops it")
    assert brief(ready(detached=True)).splitlines()[-1] == f"{talk}`dynamo down agg` stops it"
    assert "dynamo chat" not in banner(ready(kinds={"org/m": "embeddings"}))
    assert "curl" not in banner(ready(models=[])) and banner(ready(url="")) == "agg is ready"


def test_access_is_read_from_the_plan_and_the_environment() -> None:
    assert access_of(plan(frontend(), worker()), {}) == Access()
    assert access_of(plan(frontend(), worker()), {"DYN_API_KEYS": "a"}).api_keys
    assert access_of(plan(frontend(argv=("x", "--api-keys-file", "f"))), {}) == Access(api_keys=True)
    assert access_of(plan(frontend(argv=("x", "--tls-client-ca-cert-path", "f"))), {}).client_certificate
    assert access_of(plan(worker()), {"DYN_API_KEYS": "a"}) == Access()
