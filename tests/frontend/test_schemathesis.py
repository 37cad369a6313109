"""Schemathesis against a real frontend: whatever its document allows or forbids, the answers are as it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.frontend.processes import models, started, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MOCK, ECHO = "HuggingFaceTB/SmolLM2-135M-Instruct", "org/echo"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
OPTIONS = (
    *("--checks", ",".join(CHECKS), "--max-examples", "40", "--generation-deterministic", "--continue-on-failure"),
    *("--suppress-health-check", "filter_too_much,too_slow,data_too_large", "--no-color"),
)
"""So many examples of each operation and phase, the same ones each time."""


def test_the_document_is_true(tmp_path: Path) -> None:
    schemathesis = Path(sys.executable).with_name("schemathesis")
    mock = (
        "worker",
        "--engine",
        "mock",
        "--model-name",
        MOCK,
        "--options",
        '{"speedup_ratio": 0, "max_model_len": 256}',
    )
    environ = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.frontend.schemathesis_hooks",
        "SERVED_MODELS": f"{MOCK},{ECHO}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    with started(tmp_path) as start:
        frontend = start("frontend", "--http-port", "0")
        workers = [start(*mock), start("worker", "--engine", "echo", "--model-name", ECHO)]
        url = frontend.url
        until(lambda: {*models(url)} == {MOCK, ECHO}, frontend, *workers)
        done = subprocess.run(
            [schemathesis, "run", f"{url}/openapi.json", *OPTIONS],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
        assert "No issues found" in done.stdout or "warning" in done.stdout, done.stdout
        assert "ERROR" not in frontend.log + workers[0].log + workers[1].log
