from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from dynamo_cli.errors import UsageError
from dynamo_cli.logs.levels import level_of
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


IDS = """
import logging
from dynamo_cli.runtime.logs import configure_logging
from dynamo_cli.runtime.context import Context, current_context
from dynamo_cli.runtime.trail import begin_trail
configure_logging()
log = logging.getLogger("dynamo_cli.routing.x")
trail = begin_trail("hf_abcdefghijkl", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
log.debug("given", extra={"trail": trail})
log.debug("none", extra={"trail": None})
current_context.set(Context("x", trail))
log.log(5, "running")
"""


def run(script: str = SCRIPT, **environ: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True)
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
    known, bad = map(json.loads, run(DYN_LOGGING_JSONL="true"))
    assert known["message"] == "known HF_TOKEN=***" and bad["level"] == "ERROR" and bad["target"] == "a.b"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", known["time"]) and {"file", "line"} <= known.keys()
    (local, _) = map(json.loads, run(DYN_LOGGING_JSONL="1", DYN_LOG_USE_LOCAL_TZ="1", TZ="XXX+03:30"))
    assert local["time"].endswith("-03:30")


def test_lines_about_a_request_carry_its_ids() -> None:
    given, none, running = map(json.loads, run(IDS, DYN_LOG="off,dynamo.routing=trace", DYN_LOGGING_JSONL="1"))
    ids = {"x_request_id": "***", "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": given["span_id"]}
    assert ids.items() <= given.items() and "trace_id" not in none
    assert running["span_id"] != given["span_id"] and running["trace_id"] == given["trace_id"]
    assert running["level"] == "TRACE" and level_of(json.dumps(running)) == 5
    given, none, _ = run(IDS, DYN_LOG="trace")
    assert given.endswith("given request=***") and none.endswith("none")


@pytest.mark.parametrize("name", ["DYN_LOGGING_JSONL", "DYN_LOG_USE_LOCAL_TZ"])
def test_what_is_neither_on_nor_off_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"^{name}=perhaps: expected 1 or 0$"):
        log_settings({name: "perhaps"})


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
