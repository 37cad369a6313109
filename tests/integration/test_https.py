"""A deployment that speaks https and asks for keys, and the commands that speak to it."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest

from tests.certificates import Certificates
from tests.integration.dynamo import Dynamo

pytestmark = pytest.mark.slow

TOPOLOGY = """
[frontend]
port = 0
replicas = 2
tls_cert_path = "{cert}"
tls_key_path = "{key}"
api_keys_file = "keys"
cors_allow_origins = ["https://page.example"]

[workers.decode]
engine = "echo"
"""


def test_a_deployment_speaks_https(
    dynamo: Dynamo, pem: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keys").write_text("sesame\n")
    file = dynamo.write(TOPOLOGY.format(cert=pem.cert, key=pem.key))
    assert "serves echo on https://127.0.0.1:" in dynamo.run("plan", file).out
    up = dynamo.run("up", "-d", file)
    assert up.code == 0, up.err
    url = dynamo.status()["url"]
    assert url.startswith("https://127.0.0.1:")
    assert f"ready at {url}/v1" in up.out

    unknown = dynamo.run("chat", "hello")
    assert (unknown.code, unknown.out) == (2, "")
    assert "shows a certificate that is not trusted" in unknown.err and "SSL_CERT_FILE" in unknown.err
    assert dynamo.run("bench", "--requests", "2").code == 2

    monkeypatch.setenv("SSL_CERT_FILE", pem.authority)
    locked = dynamo.run("chat", "hello")
    assert (locked.code, locked.err.count("\n")) == (1, 1)
    assert "answers 401; pass --api-key" in locked.err
    for where in ([], ["--url", url]):
        said = dynamo.run("chat", *where, "--api-key", "sesame", "hello")
        assert (said.code, said.out) == (0, "hello\n"), said.err
    measured = dynamo.run("bench", "--url", url, "--api-key", "sesame", "--requests", "4")
    assert measured.code == 0, measured.err

    plain = dynamo.run("chat", "--url", url.replace("https", "http"), "hello")
    assert (plain.code, plain.err.count("\n")) == (1, 1)
    assert "answers 400: this port speaks TLS; use https" in plain.err

    headers = {"origin": "https://page.example", "authorization": "Bearer sesame"}
    listed = httpx.get(f"{url}/v1/models", headers=headers, verify=httpx.create_ssl_context(), trust_env=False)
    assert listed.headers["access-control-allow-origin"] == "https://page.example"

    monkeypatch.setenv("SSL_CERT_FILE", "/none")
    assert dynamo.run("chat", "hello").err == "dynamo: SSL_CERT_FILE=/none: no such file or directory\n"
    assert "sesame" not in "".join(log.read_text() for log in tmp_path.rglob("*.log"))


def test_https_to_a_port_that_speaks_none_is_said(dynamo: Dynamo) -> None:
    file = dynamo.write('[frontend]\nport = 0\n[workers.decode]\nengine = "echo"\n')
    assert dynamo.run("up", "-d", file).code == 0
    url = dynamo.status()["url"].replace("http:", "https:")
    wrong = dynamo.run("chat", "--url", url, "hello")
    assert (wrong.code, wrong.err) == (2, f"dynamo: {url} speaks no TLS; use http://\n")


def test_the_environment_makes_a_deployment_speak_https_too(
    dynamo: Dynamo, pem: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DYN_TLS_CERT_PATH", pem.cert)
    monkeypatch.setenv("DYN_TLS_KEY_PATH", pem.key)
    file = dynamo.write('[frontend]\nport = 0\n[workers.decode]\nengine = "echo"\n')
    assert dynamo.run("up", "-d", file).code == 0
    url = dynamo.status()["url"]
    assert url.startswith("https://")
    context = ssl.create_default_context(cafile=pem.authority)
    assert httpx.get(f"{url}/live", verify=context, trust_env=False).status_code == 200
