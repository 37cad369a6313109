"""What `up` tells to paste, pasted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from dynamo_cli.runtime.control import DeploymentStatus
from dynamo_cli.supervisor.banner import curl, snippet
from tests.certificates import Certificates
from tests.integration.dynamo import TOPOLOGIES, Dynamo
from tests.integration.test_embeddings import TOPOLOGY as VECTORS
from tests.integration.test_https import TOPOLOGY as HTTPS

pytestmark = pytest.mark.slow


def pasted(dynamo: Dynamo, told: str) -> tuple[str, str]:
    """What curl and Python answer, as the deployment that runs tells to ask it."""
    status = msgspec.convert(dynamo.status(), DeploymentStatus)
    assert curl(status) in told
    by_curl = subprocess.run(["bash", "-c", curl(status)], capture_output=True, text=True, timeout=30, check=True)
    program = "\n".join(snippet(status))
    by_python = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return by_curl.stdout, by_python.stdout


def test_a_chat(dynamo: Dynamo) -> None:
    up = dynamo.run("up", "-d", str(TOPOLOGIES / "echo.toml"), "--set", "frontend.port=0")
    by_curl, by_python = pasted(dynamo, up.out)
    assert json.loads(by_curl)["choices"][0]["message"]["content"] == by_python.strip() == "What color is the sky?"


def test_embeddings(dynamo: Dynamo) -> None:
    up = dynamo.run("up", "-d", dynamo.write(VECTORS))
    by_curl, by_python = pasted(dynamo, up.out)
    assert json.loads(by_curl)["data"][0]["embedding"][:4] == json.loads(by_python)
    assert "dynamo chat" not in up.out


def test_https_with_keys(dynamo: Dynamo, pem: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys").write_text("sesame\n")
    up = dynamo.run("up", "-d", dynamo.write(HTTPS.format(cert=pem.cert, key=pem.key)))
    monkeypatch.setenv("API_KEY", "sesame")
    by_curl, by_python = pasted(dynamo, up.out)
    assert json.loads(by_curl)["choices"][0]["message"]["content"] == by_python.strip() == "What color is the sky?"
    assert "it asks for an API key" in up.out
