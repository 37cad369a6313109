"""Secrets of a topology and of what its processes write are shown nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.dynamo import Dynamo

pytestmark = pytest.mark.slow

SECRETS = ("hf_abcdefghijklmnop", "hunter2hunter2", "topsecret99", "sesame-open-42")
TOPOLOGY = f"""
name = "quiet"
model = "m"
[workers.decode]
engine = "echo"
env = {{ HF_TOKEN = "{SECRETS[0]}", MY_PASSWORD = "{SECRETS[1]}" }}
[services.leak]
command = [
  "sh", "-c", "echo it is {SECRETS[0]}; echo API_KEY=$API_KEY; echo $0 $1; exit 3", "--api-key", "{SECRETS[3]}",
]
env = {{ API_KEY = "{SECRETS[2]}" }}
restart = "no"
"""


def test_they_are_shown_nowhere(dynamo: Dynamo, clean_environment: Path) -> None:
    file = dynamo.write(TOPOLOGY)
    failed = dynamo.run("up", "-d", file, "--set", "frontend.port=0")
    assert failed.code == 1 and "leak: exited with code 3" in failed.err
    shown = {"up": failed.err}
    for command in (
        f"plan {file}",
        f"plan {file} --json",
        f"plan {file} --commands",
        f"topology show {file}",
        f"topology show {file} --json",
        "logs",
        "logs --json",
        "ps -a --json",
    ):
        result = dynamo.run(*command.split())
        assert result.code == 0 and result.out
        shown[command] = result.out + result.err
    assert {name: secret for name, text in shown.items() for secret in SECRETS if secret in text} == {}
    assert "--api-key ***" in shown["logs"] and "API_KEY=***" in shown["logs"]
    for name in ("plan.json", "state.json"):
        assert (clean_environment / "quiet" / name).stat().st_mode & 0o077 == 0
