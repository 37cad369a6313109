"""`dynamo chat` with a deployment: it waits for the model, and says which worker answered."""

from __future__ import annotations

import json

import pytest

from tests.integration.dynamo import Dynamo
from tests.supervisor.harness import until

pytestmark = pytest.mark.slow

SLOW = """
name = "slow"
model = "HuggingFaceTB/SmolLM2-135M-Instruct"
[frontend]
port = 0
[workers.decode]
engine = "mock"
[workers.decode.options]
startup_time = 8.0
"""
TWO = """
name = "two"
[frontend]
port = 0
[workers.a]
engine = "echo"
model = "org/a"
replicas = 2
[workers.b]
engine = "echo"
model = "org/b"
"""


def test_a_model_that_is_loading_is_waited_for(dynamo: Dynamo) -> None:
    with dynamo.foreground(dynamo.write(SLOW)):
        until(lambda: dynamo.status().get("services"), 10.0, "the deployment")
        hurried = dynamo.run("chat", "hi", "--timeout", "0")
        assert (hurried.code, hurried.out) == (3, "")
        assert hurried.err.startswith("dynamo: slow does not serve HuggingFaceTB/SmolLM2-135M-Instruct within 0 s: ")
        mistyped = dynamo.run("chat", "hi", "--model", "HuggingFaceTB/SmolLM2-135M-Instrukt")
        assert (mistyped.code, mistyped.err.count("; did you mean HuggingFaceTB/SmolLM2-135M-Instruct")) == (5, 1)
        answered = dynamo.run("chat", "hi", "--max-tokens", "4", "--json")
        assert answered.code == 0, answered
        assert "waiting for HuggingFaceTB/SmolLM2-135M-Instruct: " in answered.err
        assert "decode-0 LOADING" in answered.err
        told = json.loads(answered.out)
        assert (told["worker"], told["usage"]["completion_tokens"]) == ("decode-0", 4)
        assert dynamo.run("chat", "hi", "--max-tokens", "4").err == ""


def test_several_models_and_the_worker_that_answered(dynamo: Dynamo) -> None:
    assert dynamo.run("up", "-d", dynamo.write(TWO)).code == 0
    asked = dynamo.run("chat", "hi")
    assert (asked.code, asked.err) == (2, "dynamo: two serves several models: org/a, org/b; choose one with --model\n")
    workers = {json.loads(dynamo.run("chat", "hi", "--model", "org/a", "--json").out)["worker"] for _ in range(6)}
    assert workers <= {"a-0", "a-1"} and workers
    assert json.loads(dynamo.run("chat", "hi", "--model", "org/b", "--json").out)["worker"] == "b-0"
    assert dynamo.run("stop", "b").code == 0
    gone = dynamo.run("chat", "hi", "--model", "org/b")
    assert (gone.code, gone.out) == (5, "")
    assert gone.err.endswith(" does not serve org/b; it serves org/a\n")
