from __future__ import annotations

import json
import subprocess
import sys

import pytest

from dynamo_cli.errors import UsageError
from dynamo_cli.runtime.logs import LogSettings, engine_levels, log_settings

SCRIPT = """
import logging
from dynamo_cli.runtime.logs import configure_logging
configure_logging()
configure_logging()
log = logging.getLogger("a.b")
log.debug("fine")
log.info("known HF_TOKEN=hf_abcdefghijkl")
log.error("bad")
"""


def run(**environ: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environ, capture_output=True, text=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def levels(value: str) -> list[str]:
    return [line.partition(" ")[2] for line in run(DYN_LOG=value)]


def test_lines_go_to_stderr_from_the_level_on_without_secrets() -> None:
    assert levels("") == ["INFO a.b: known HF_TOKEN=***", "ERROR a.b: bad"]
    assert levels("debug")[0] == "DEBUG a.b: fine"
    assert levels("error") == ["ERROR a.b: bad"]
    assert levels("error,a=debug")[0] == "DEBUG a.b: fine"
    assert levels("off") == []


def test_json_lines_have_the_references_fields() -> None:
    known, bad = map(json.loads, run(DYN_LOGGING_JSONL="1"))
    assert known["message"] == "known HF_TOKEN=***" and bad["level"] == "ERROR" and bad["target"] == "a.b"
    assert known["time"].endswith("Z") and {"file", "line"} <= known.keys()


def test_the_references_syntax() -> None:
    assert log_settings({}) == LogSettings()
    assert log_settings({"DYN_LOG": "Warning"}).level == "warn"
    parsed = log_settings({"DYN_LOG": "warn, dynamo_cli::routing=debug ,x.y=off", "DYN_LOGGING_JSONL": "true"})
    assert parsed == LogSettings("warn", (("dynamo_cli.routing", "debug"), ("x.y", "off")), True)


@pytest.mark.parametrize("value", ["verbose", "info,loud", "a=loud", "=debug", "a b=debug"])
def test_a_wrong_word_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match=f"^DYN_LOG={value}: "):
        log_settings({"DYN_LOG": value})


def test_the_engines_get_the_level_in_their_own_words() -> None:
    assert engine_levels({}) == {}
    assert engine_levels({"DYN_LOG": "warn,a=debug"}) == {"TLLM_LOG_LEVEL": "WARNING", "VLLM_LOGGING_LEVEL": "WARNING"}
    assert engine_levels({"DYN_LOG": "trace", "VLLM_LOGGING_LEVEL": "INFO"}) == {"TLLM_LOG_LEVEL": "TRACE"}
