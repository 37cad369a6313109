"""What programs outside this repository rely on."""

from __future__ import annotations

import json
import time
from pathlib import Path

import psutil
import pytest

from dynamo_cli.hub.catalogue import DEFAULT_MODEL
from dynamo_cli.hub.fetch import fetch_model
from tests.integration.dynamo import TOPOLOGIES, Dynamo, ask
from tests.supervisor.harness import marked

pytestmark = pytest.mark.slow

ECHO = str(TOPOLOGIES / "echo.toml")
MOCK = str(TOPOLOGIES / "mock.toml")
PORT_0 = ("--set", "frontend.port=0")


def custom(command: str, **more: str) -> str:
    """A topology of one custom process beside the frontend."""
    fields = "".join(f"{name} = {value}\n" for name, value in more.items())
    return f"""
name = "broken"
[frontend]
port = 0
[workers.decode]
engine = "custom"
{fields}[workers.decode.options]
command = ["sh", "-c", "{command}"]
"""


def test_set_is_repeatable_stands_anywhere_and_takes_toml(dynamo: Dynamo) -> None:
    started = dynamo.run(
        *("up", "--set", "name='two'", "-d", "--set", "workers.decode.replicas=2", ECHO),
        *("--set", "frontend.replicas=2", "--set", "model='parrot'", *PORT_0),
        *("--set", "workers.decode.env={A = '1'}", "--set", 'router.mode="random"'),
    )
    assert started.code == 0, started.err
    status = dynamo.status("two")
    assert status["models"] == ["parrot"]
    assert [s["name"] for s in status["services"]] == ["frontend-0", "frontend-1", "decode-0", "decode-1"]
    assert len({s["pid"] for s in status["services"]}) == 4
    assert psutil.Process(dynamo.pid("decode-1")).environ()["A"] == "1"


def test_json_is_all_there_is_on_stdout(dynamo: Dynamo) -> None:
    started = dynamo.run("up", "--json", "-d", ECHO, *PORT_0)
    assert (started.code, json.loads(started.out)["state"]) == (0, "READY")
    assert json.loads(dynamo.run("status", "--json").out)["deployment"] == "echo"
    assert json.loads(dynamo.run("plan", ECHO, "--json").out)["deployment"] == "echo"
    assert json.loads(dynamo.run("bench", "-n", "2", "--json").out)["points"][0]["report"]["ok"] == 2


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_start_that_fails_ends_with_the_first_failing_childs_lines(
    dynamo: Dynamo, clean_environment: Path, flags: tuple[str, ...]
) -> None:
    file = dynamo.write(custom("echo one; echo two; echo three >&2; exit 3", restart='"no"'))
    failed = dynamo.run("up", "-d", file, "--timeout", "20", *flags)
    assert failed.code not in (0, 2)
    assert failed.err.splitlines()[-3:] == ["decode-0 | one", "decode-0 | two", "decode-0 | three"]
    assert failed.out == "" or json.loads(failed.out)["first_failed"] == "decode-0"
    assert not marked(clean_environment)


def test_a_child_that_is_started_again_and_again_fails_the_start_in_time(dynamo: Dynamo) -> None:
    began = time.monotonic()
    failed = dynamo.run("up", "-d", dynamo.write(custom("echo no luck; exit 1")), "--timeout", "3")
    assert time.monotonic() - began < 8
    assert failed.code != 0
    assert failed.err.splitlines()[-1] == "decode-0 | no luck"


def test_a_worker_that_never_gets_ready_fails_the_start_in_time(dynamo: Dynamo, clean_environment: Path) -> None:
    began = time.monotonic()
    slow = ("--set", "workers.decode.options.startup_time=60", "--set", "workers.decode.replicas=1")
    failed = dynamo.run("up", "-d", MOCK, *PORT_0, *slow, "--timeout", "3")
    assert 3 <= time.monotonic() - began < 8
    assert failed.code == 3
    assert any("not ready within 3 s" in line for line in failed.err.splitlines())
    assert not marked(clean_environment)


@pytest.fixture
def model() -> Path:
    """The default model, fetched when this machine does not have it yet."""
    return fetch_model(DEFAULT_MODEL).path


@pytest.fixture
def bare_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty directories home, cache and tmp, which the environment names."""
    for variable, name in (("HOME", "home"), ("XDG_CACHE_HOME", "cache"), ("TMPDIR", "tmp")):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / name))
    for variable in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "HF_HOME"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def written(root: Path) -> set[str]:
    """Directories of the cache that hold files, and whatever is in the home and the temporary directory."""
    elsewhere = [path for name in ("home", "tmp") for path in (root / name).rglob("*")]
    cached = [path.parent for path in (root / "cache").rglob("*") if path.is_file()]
    return {str(path.relative_to(root)) for path in [*elsewhere, *cached]}


def test_without_a_model_only_state_is_written(dynamo: Dynamo, bare_home: Path) -> None:
    started = dynamo.run("up", "-d", ECHO, "--json", *PORT_0)
    assert ask(json.loads(started.out)["url"], "echo").status_code == 200
    for command in (("status",), ("logs",), ("chat", "hello"), ("down",)):
        assert dynamo.run(*command).code == 0
    assert written(bare_home) == set()


def test_models_are_kept_in_the_cache(dynamo: Dynamo, model: Path, bare_home: Path) -> None:
    models = bare_home / "cache" / "dynamo" / "models"
    models.mkdir(parents=True)
    (models / model.name).symlink_to(model)
    assert dynamo.run("up", "-d", MOCK, *PORT_0).code == 0
    assert dynamo.run("down").code == 0
    assert {"/".join(path.split("/")[:3]) for path in written(bare_home)} == {
        "cache/dynamo/models",
        "cache/dynamo/text",
        "cache/dynamo/text-of-gguf",
    }


def test_names_may_be_left_out_when_one_runs(dynamo: Dynamo) -> None:
    assert dynamo.run("up", "-d", ECHO, *PORT_0).code == 0
    assert dynamo.run("up", "-d", ECHO, *PORT_0, "--set", "name='other'").code == 0
    assert dynamo.run("down", "other").code == 0
    assert dynamo.run("status").out.startswith("echo  READY")
    assert "decode-0 is READY" in dynamo.run("logs", "supervisor").out
    assert dynamo.run("down").out == "echo is down\n"
    assert dynamo.run("status").code == 3
