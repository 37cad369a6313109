"""`dynamo __complete`: what it answers from files on disk, how little it costs, and that it is silent."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import pytest

from dynamo_cli.cli.completion.answer import main
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor.processes import ProcessId, identify
from dynamo_cli.supervisor.record import Record, write
from dynamo_cli.topology.process import Plan, ProcessSpec
from tests.completions.shells import EXECUTABLE, REPOSITORY

TOPOLOGIES = REPOSITORY / "topologies"


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    assert main(list(arguments)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return dict(line.partition("\t")[::2] for line in out.splitlines())


def deploy(name: str, *pools: str, running: bool = True, model: str = "echo") -> None:
    """Its state on disk, as of a deployment that this process supervises."""
    paths = DeploymentPaths(name)
    paths.root.mkdir(parents=True)
    me = identify(os.getpid()) or ProcessId(0, 0)
    record = Record(deployment=name, deployment_id=name, supervisor=me, state="READY" if running else "STOPPED")
    processes = [
        ProcessSpec(name=f"{pool}-0", kind="worker", pool=pool, replica=0, engine="echo", argv=()) for pool in pools
    ]
    setup = ProcessSpec(name="setup", kind="service", pool="setup", replica=0, argv=())
    plan = Plan(deployment=name, source="x", host="", port=0, models=(model,), processes=(*processes, setup))
    write(paths.state, record)
    write(paths.plan, plan)


def test_names_are_those_of_what_runs_or_of_what_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    deploy("one", "decode")
    deploy("old", "prefill", running=False)
    assert set(answer(capsys, "deployment", "")) == {"one"}
    assert set(answer(capsys, "any-deployment", "")) == {"one", "old"}
    assert answer(capsys, "service", "", "restart") == {
        "decode": "worker, echo",
        "decode-0": "worker, echo",
        "setup": "service",
    }
    assert set(answer(capsys, "service", "", "restart", "setup", "--", "decode")) == {"decode-0"}
    assert set(answer(capsys, "replicas", "", "scale")) == {"decode="}
    assert set(answer(capsys, "replicas", "", "scale", "decode=3")) == set()
    assert set(answer(capsys, "log-source", "", "logs")) == {"decode", "decode-0", "setup", "supervisor"}


@pytest.mark.parametrize("given", [["-d", "old"], ["-dold"], ["--deployment", "old"], ["--deployment=old"]])
def test_a_deployment_on_the_command_line_is_honoured(capsys: pytest.CaptureFixture[str], given: list[str]) -> None:
    deploy("one", "decode")
    deploy("old", "prefill", running=False)
    assert "prefill-0" in answer(capsys, "log-source", "", "logs", *given)
    assert "decode-0" not in answer(capsys, "log-source", "", "logs", *given)
    assert "decode-0" in answer(capsys, "service", "", "restart", "--", *given)


def test_logs_fall_back_to_the_last_deployment(capsys: pytest.CaptureFixture[str]) -> None:
    deploy("old", "prefill", running=False)
    assert "prefill-0" in answer(capsys, "log-source", "")
    assert answer(capsys, "service", "") == {}


def test_models_are_those_served_here_unless_elsewhere_is_asked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "models--org--tiny--chat").mkdir()
    known = {"HuggingFaceTB/SmolLM2-135M-Instruct", "org/tiny--chat"}
    assert set(answer(capsys, "served-model", "", "chat")) == known
    deploy("one", "decode", model="echo")
    assert answer(capsys, "served-model", "", "chat") == {"echo": "served by one"}
    assert set(answer(capsys, "served-model", "", "chat", "--url", "http://other")) == known
    assert set(answer(capsys, "model", "", "pull")) == known


def test_parts_and_settings_are_those_of_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(TOPOLOGIES / "services.toml")
    assert set(answer(capsys, "part", "", "up", "-d", file, "setup")) == {"decode", "files"}
    keys = answer(capsys, "setting", "", "up", file)
    assert {"frontend.port=", "workers.decode.replicas=", "services.files.memory_limit="} <= set(keys)
    assert keys["frontend.port="] == "0 takes a free one"
    assert "services.files.env.PYTHONUNBUFFERED=" in keys
    assert set(answer(capsys, "setting", "router.mode=", "up")) >= {"router.mode=random", "router.mode=direct"}
    assert "workers.decode.restart.mode=" in answer(capsys, "setting", "workers.decode.restart.", "up", file)
    assert "workers.decode.engine=mock" in answer(capsys, "setting", "workers.decode.engine=m", "up", file)
    assert "workers.decode.env.DYN_LOG=debug" in answer(capsys, "setting", "workers.decode.env.DYN_LOG=", "up", file)
    assert set(answer(capsys, "setting", "workers.decode.liveness=", "up", file)) == {
        "workers.decode.liveness=true",
        "workers.decode.liveness=false",
    }


def test_what_a_file_extends_counts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(f'extends = "{TOPOLOGIES / "echo.toml"}"\n[services."web"]\ncommand = "x"\n')
    assert set(answer(capsys, "part", "", "up", str(tmp_path / "mine.toml"))) == {"decode", "web"}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense", ""],
        ["service"],
        ["service", "", "-d", "NOT VALID"],
        ["part", "", "up", "{wrong}"],
        ["setting", "nope.nope=", "up", "{wrong}"],
        ["part", "", "up", "missing.toml"],
    ],
)
def test_nothing_goes_wrong_aloud(
    capsys: pytest.CaptureFixture[str], clean_environment: Path, tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "wrong.toml").write_text("= = =")
    for name, text in (("broken", "{"), ("odd name's", "{}"), ("empty", "")):
        (clean_environment / name).mkdir()
        (clean_environment / name / "state.json").write_text(text)
    wrong = str(tmp_path / "wrong.toml")
    assert answer(capsys, *[wrong if each == "{wrong}" else each for each in arguments]) == {}


def test_without_a_home_there_is_silence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DYNAMO_HOME", "/nonexistent/home")
    assert answer(capsys, "deployment", "") == {}


def cpu_s(*arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([EXECUTABLE, "__complete", *arguments], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("kind", ["service", "setting", "model"])
def test_an_answer_costs_little(kind: str) -> None:
    deploy("one", "decode")
    cost = min(cpu_s(kind, "", "up", str(TOPOLOGIES / "echo.toml")) for _ in range(3))
    assert cost < 0.3, "the budget is 0.1 CPU-s; three times that is a forgotten lazy import"


def test_many_old_deployments_cost_little() -> None:
    deploy("one", "decode")
    few = min(cpu_s("service", "") for _ in range(3))
    for number in range(300):
        deploy(f"old-{number}", "decode", running=False)
    assert min(cpu_s("service", "") for _ in range(3)) < few + 0.1


def test_it_imports_nothing_that_only_people_need() -> None:
    code = "import sys; from dynamo_cli.cli.main import run; run(['__complete', 'service', '']); print(*sys.modules)"
    loaded = subprocess.run([EXECUTABLE.with_name("python"), "-c", code], capture_output=True, text=True).stdout.split()
    assert "dynamo_cli.cli.completion.in_deployments" in loaded
    assert not {"typer", "rich", "httpx", "huggingface_hub", "psutil", "asyncio"} & set(loaded)
