"""`dynamo doctor` through the real executable."""

from __future__ import annotations

import json
import os
import pty
import resource
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.gpus.fake import build_driver, driver_environment
from tests.integration.dynamo import EXECUTABLE, TOPOLOGIES, Dynamo
from tests.supervisor.harness import until

pytestmark = pytest.mark.slow


def told(dynamo: Dynamo, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and every check by its name, each name once."""
    result = dynamo.run("doctor", "--json", *arguments)
    assert result.err == ""
    report = json.loads(result.out)
    checks = {check["name"]: check for check in report["checks"]}
    assert len(checks) == len(report["checks"])
    assert report["ok"] == (result.code == 0) == (report["counts"]["error"] == 0)
    return result.code, checks


def test_it_is_quick_and_leaves_nothing(dynamo: Dynamo, clean_environment: Path) -> None:
    def cpu_s() -> float:
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        return spent.ru_utime + spent.ru_stime

    before = cpu_s()
    told(dynamo)
    assert cpu_s() - before < 1.5, "the budget is 1 CPU-s"
    assert sorted(path.name for path in clean_environment.iterdir()) == ["run"]
    assert list((clean_environment / "run").iterdir()) == []


def test_what_it_says_in_a_pipe(dynamo: Dynamo) -> None:
    result = dynamo.run("doctor", "--runtime-check-only")
    assert [line for line in result.out.splitlines() if not line.startswith(" ")][:-1] == [
        "python",
        "engines",
        "planes",
    ]
    assert result.out.splitlines()[-1].split(" ")[1] == "ok,"
    assert "\x1b" not in result.out
    assert "engines" not in dynamo.run("doctor", "--runtime-check-only", "--no-framework-check").out.split()
    assert "driver" not in told(dynamo, "--no-gpu-check")[1]


def test_a_deployment_that_runs_and_one_that_was_killed(dynamo: Dynamo) -> None:
    topology = str(TOPOLOGIES / "echo.toml")
    assert dynamo.run("up", "-d", topology, "--set", "frontend.port=0").code == 0
    assert told(dynamo)[1]["deployment-echo"]["detail"].startswith("READY, http://127.0.0.1:")
    supervisor = json.loads(dynamo.run("ps", "--json").out)[0]["pid"]
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: told(dynamo)[1]["deployment-echo"]["status"] == "warn")
    stale = told(dynamo)[1]["deployment-echo"]
    assert stale["fix"] == "dynamo status echo gives it another one; dynamo down echo ends it"
    assert dynamo.run("down", "echo").code == 0
    assert "deployment-echo" not in told(dynamo)[1]


def test_a_topology_and_its_busy_port(dynamo: Dynamo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        text = f'[frontend]\nport = {busy.getsockname()[1]}\n[workers.a]\nengine = "echo"\n'
        code, checks = told(dynamo, dynamo.write(text))
    assert code == 1
    assert checks["port"]["status"] == "error" and f"pid {os.getpid()}" in checks["port"]["detail"]
    assert checks["plan"]["detail"] == "topology: 2 processes, 0 GPUs, echo"
    code, checks = told(dynamo, dynamo.write('name = "x"\nprot = 1\n'))
    assert code == 1 and checks["topology-problem-1"]["status"] == "error"
    result = dynamo.run("doctor", "none.toml", "--terse")
    assert (result.code, result.err) == (1, "")
    assert "error  topology-problem-1    none.toml: no such file\n" in result.out


def test_a_machine_with_gpus(dynamo: Dynamo, tmp_path: Path) -> None:
    environment = driver_environment(build_driver(tmp_path), "GPU-aaa:1", "GPU-bbb:80", CUDA_VISIBLE_DEVICES="1,5")
    topology = dynamo.write('model = "x"\n[workers.a]\nengine = "mock"\ngpus = 1\n')
    checks = told(Dynamo(tmp_path, environment), topology)[1]
    assert checks["driver"]["detail"] == "NVIDIA 550.54.15, CUDA 12.4, 2 GPUs"
    assert [checks[name]["status"] for name in ("gpu-0", "gpu-1")] == ["warn", "ok"]
    assert "there is no GPU 5" in checks["cuda-visible-devices"]["detail"]
    assert checks["plan"]["detail"] == "topology: 2 processes, 1 GPU, mock"


def test_a_poor_environment(dynamo: Dynamo, tmp_path: Path) -> None:
    """No variables, few files, a home that is a file, a secret in a proxy's URL: told, each in its line."""
    home = tmp_path / "home"
    home.touch()
    poor = {"HOME": str(home), "http_proxy": "http://me:hunter2@proxy:1", "HF_TOKEN": "hf_" + "s" * 20}
    command = ["sh", "-c", f"ulimit -n 64; exec {EXECUTABLE} doctor --terse"]
    done = subprocess.run(command, env=poor, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
    for line in ("error  state-directory", "error  model-directory", "error  open-files", "warn   proxies"):
        assert f"  {line}" in done.stdout
    assert "hunter2" not in done.stdout and "s" * 20 not in done.stdout


def test_a_terminal(dynamo: Dynamo) -> None:
    del dynamo
    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "1"}
    with subprocess.Popen(
        [EXECUTABLE, "doctor", "--runtime-check-only"], stdin=child, stdout=child, stderr=child, env=environment
    ) as process:
        os.close(child)
        shown = b""
        while chunk := _read(parent):
            shown += chunk
    os.close(parent)
    assert process.returncode == 0
    lines = shown.decode().replace("\r", "").splitlines()
    assert "\x1b[3" not in shown.decode(), "NO_COLOR"
    assert max(map(len, lines)) <= 100
    assert any(line.lstrip("\x1b[0123456789m").startswith("python") for line in lines)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when nobody holds the other end any more
        return b""


def test_ctrl_c_ends_it_at_once(dynamo: Dynamo, tmp_path: Path) -> None:
    environment = driver_environment(build_driver(tmp_path), FAKE_NVML_INIT="hang")
    with subprocess.Popen([EXECUTABLE, "doctor"], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        while process.stdout.readline() != "limits\n":
            pass
        until(lambda: _children(process.pid))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
    assert process.returncode == 130


def _children(pid: int) -> list[str]:
    return [
        child
        for task in os.listdir(f"/proc/{pid}/task")
        for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()
    ]
