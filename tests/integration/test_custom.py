"""Engines and endpoints of a user's own in whole deployments."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from dynamo_cli.hub.catalogue import DEFAULT_MODEL
from dynamo_cli.hub.fetch import fetch_model
from tests.documented import blocks
from tests.integration.dynamo import TOPOLOGIES, Dynamo, ask, kill
from tests.supervisor.harness import marked, until

pytestmark = pytest.mark.slow
PORT_0 = ("--set", "frontend.port=0")
FAULTY = """
import os
class Faulty:
    async def generate(self, request):
        yield "fine so far "
        word = request.messages[-1]["content"]
        if word == "raise":
            raise KeyError(word)
        if word == "exit":
            os._exit(7)
"""
TOPOLOGY = """
name = "faulty"
[frontend]
port = 0
[workers.decode]
engine = "custom"
restart = { backoff_s = 0.05 }
[workers.decode.options]
target = "%s"
model_name = "faulty"
"""


def test_the_documented_engine(dynamo: Dynamo, tmp_path: Path) -> None:
    fetch_model(DEFAULT_MODEL)
    (tmp_path / "parrot.py").write_text(blocks("custom_engine.md", "python")[0])
    file = dynamo.write(blocks("custom_engine.md", "toml")[0])
    started = dynamo.run("up", "-d", file, *PORT_0)
    assert started.code == 0, started.err
    status = dynamo.status()
    assert status["models"] == ["parrot"]
    answer = ask(status["url"], "parrot", "say it", max_tokens=40).json()
    (choice,) = answer["choices"]
    assert choice["message"]["content"].startswith("system\nYou are a helpful AI assistant")
    assert choice["finish_reason"] == "stop"  # at the end-of-turn token that the prompt holds, too
    short = ask(status["url"], "parrot", "say it", max_tokens=4).json()
    assert (short["choices"][0]["finish_reason"], short["usage"]["completion_tokens"]) == ("length", 4)
    assert dynamo.run("down").code == 0


def test_hello_world_greets_from_two_processes(dynamo: Dynamo, tmp_path: Path) -> None:
    shutil.copytree(TOPOLOGIES, tmp_path / "elsewhere")
    started = dynamo.run("up", "-d", str(tmp_path / "elsewhere" / "hello_world.toml"), *PORT_0)
    assert started.code == 0, started.err

    def greetings() -> list[str]:
        return [line for line in dynamo.run("logs", "client").out.splitlines() if "Hello" in line]

    said = until(lambda: found if len(found := greetings()) == 4 else None, 10, "four greetings") or []
    assert [line.rpartition("Hello ")[2] for line in said] == ["world!", "sun!", "moon!", "star!"]
    assert dynamo.run("down").code == 0


def test_an_exception_costs_its_request_and_an_exit_its_worker(
    dynamo: Dynamo, clean_environment: Path, tmp_path: Path
) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY)
    started = dynamo.run("up", "-d", dynamo.write(TOPOLOGY % "faulty:Faulty"))
    assert started.code == 0, started.err
    url, pid = dynamo.status()["url"], dynamo.pid("decode-0")
    failed = ask(url, "faulty", "raise")
    assert failed.status_code == 500
    assert failed.json()["error"]["message"] == f"{tmp_path}/faulty.py:8: KeyError: 'raise'"
    assert ask(url, "faulty", "go on").status_code == 200
    assert dynamo.pid("decode-0") == pid
    assert f"{tmp_path}/faulty.py:8: KeyError: 'raise'" in dynamo.run("logs", "decode-0").out
    assert ask(url, "faulty", "exit").status_code >= 500
    service = until(
        lambda: s if (s := dynamo.status()["services"][1])["restarts"] and s["ready"] else None, 15, "another life"
    )
    assert service and "code 7" in service["last_exit"]
    kill(dynamo.pid("decode-0"))
    assert dynamo.run("down").code == 0
    assert not marked(clean_environment)


@pytest.mark.parametrize(
    ("target", "code", "line"),
    [
        ("faulty:Nobody", 2, "faulty.py has no Nobody"),
        ("broken:X", 2, "broken.py:1: ZeroDivisionError: division by zero"),
        ("needy:X", 5, "needy.py:1: ModuleNotFoundError: No module named 'no_such_package'; install it beside dynamo"),
    ],
)
def test_what_cannot_start_is_one_line_and_not_tried_again(
    dynamo: Dynamo, clean_environment: Path, tmp_path: Path, target: str, code: int, line: str
) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY)
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "needy.py").write_text("import no_such_package")
    failed = dynamo.run("up", "-d", dynamo.write(TOPOLOGY % target))
    assert failed.code == code
    reason = next(one for one in failed.err.splitlines() if one.startswith("dynamo: deployment faulty failed"))
    assert f"dynamo: target {target}: " in reason and line in reason
    assert "Traceback" not in failed.err
    assert not marked(clean_environment)


def test_sigterm_to_a_process_on_the_api_drains_it(dynamo: Dynamo, clean_environment: Path) -> None:
    started = dynamo.run("up", "-d", str(TOPOLOGIES / "hello_world.toml"), *PORT_0)
    assert started.code == 0, started.err
    assert dynamo.run("restart", "backend-0").code == 0
    dynamo.until("READY")
    assert dynamo.run("down").code == 0
    assert signal.SIGKILL.name not in dynamo.run("logs", "supervisor").out
    assert not marked(clean_environment)
