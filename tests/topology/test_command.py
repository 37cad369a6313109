"""`dynamo plan` as people run it."""

from __future__ import annotations

import os
import pty
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from dynamo_cli.topology.process import Plan
from tests.gpus.fake import driver_environment

TOPOLOGIES = Path(__file__).parents[2] / "topologies"
DYNAMO = str(Path(sys.executable).with_name("dynamo"))
MOCK = 'model = "org/model"\n[workers.decode]\nengine = "mock"\nreplicas = 2\n'


@pytest.fixture(autouse=True)
def no_models_and_no_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine has: a driver that cannot be loaded is none."""
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    (tmp_path / "nodriver").mkdir()
    (tmp_path / "nodriver/libnvidia-ml.so.1").write_bytes(b"not a library")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path / "nodriver"))
    Path("mock.toml").write_text(MOCK)


def dynamo(*words: str | Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([DYNAMO, *words], env=environment, capture_output=True, text=True, timeout=30)


def failed(*words: str | Path) -> tuple[int, str]:
    done = dynamo("plan", *words)
    assert done.stdout == ""
    return done.returncode, done.stderr


def plan(*words: str | Path, environment: dict[str, str] | None = None) -> Plan:
    done = dynamo("plan", *words, "--json", environment=environment)
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout, type=Plan)


def test_typos_come_all_at_once() -> None:
    Path("bad.toml").write_text(MOCK.replace("replicas", "replcas") + "[frontend]\nport = 70000\n")
    assert failed("bad.toml", "--set", "workers.decode.role=encode") == (
        2,
        "bad.toml:4: workers.decode.replcas: unknown key; did you mean replicas\n"
        "bad.toml:6: frontend.port: must be between 0 and 65535, found 70000\n"
        '--set workers.decode.role: role "encode" is not available yet; use aggregated, prefill, decode\n',
    )


def test_a_syntax_error() -> None:
    Path("bad.toml").write_text("name = \n")
    assert failed("bad.toml") == (2, "bad.toml:1: not valid TOML: invalid value (column 8)\n")


def test_a_missing_file() -> None:
    assert failed("moc.toml") == (2, "moc.toml: no such file; did you mean mock.toml\n")


def test_a_directory() -> None:
    assert failed("nodriver") == (2, "nodriver: is a directory, not a topology file\n")


def test_an_unreadable_file() -> None:
    """Root reads everything unless it gives the right to up."""
    Path("mock.toml").chmod(0)
    command = [DYNAMO, "plan", "mock.toml"]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("no setpriv to take root's right to read everything")
        command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "mock.toml: cannot be read: Permission denied\n")


def test_a_gpu_without_a_driver() -> None:
    assert failed("mock.toml", "--set", "workers.decode.gpus=1") == (
        4,
        "dynamo: pool decode wants 2 GPUs (2 replicas of 1), found none (no NVIDIA driver); "
        "set workers.decode.gpus = 0, a smaller workers.decode.replicas or another workers.decode.engine\n",
    )


def test_gpus_of_the_driver_are_given_by_uuid(driver: Path) -> None:
    environment = driver_environment(driver, "GPU-full:5:99", "GPU-half:40", "GPU-free:79")
    made = plan("mock.toml", "--set", "workers.decode.gpus=1", environment=environment)
    given = {p.name: (p.env["CUDA_VISIBLE_DEVICES"], [g.index for g in p.gpus]) for p in made.processes[1:]}
    assert given == {"decode-0": ("GPU-free", [2]), "decode-1": ("GPU-half", [1])}

    commands = dynamo("plan", "mock.toml", "--commands", "--set", "workers.decode.gpus=[2]", environment=environment)
    assert commands.stdout.count("CUDA_VISIBLE_DEVICES=GPU-free ") == 2

    four = dynamo("plan", "mock.toml", "--set", "workers.decode.gpus=2", environment=environment)
    assert four.returncode == 4
    assert four.stderr.startswith("dynamo: pool decode wants 4 GPUs (2 replicas of 2), found 3 GPUs: 0 = GPU-full, ")


def test_a_stranger_is_named(driver: Path) -> None:
    me, near = os.getpid(), {"FAKE_NVML_LINKS": "0-1:4 1-2:4"}
    environment = driver_environment(driver, f"GPU-a:40:{me}=40", "GPU-b:80", "GPU-c:80", **near)
    sets = ("--set", "workers.decode.replicas=1", "--set", "workers.decode.gpus=2")
    shown = dynamo("plan", "mock.toml", *sets, environment=environment).stdout.splitlines()
    assert "decode-0: GPUs 1,2: NVLink, 80.0 GiB free each" in shown
    name = Path("/proc/self/comm").read_text().strip()
    assert f"GPU 0 left out: {name} (pid {me}) holds 40.0 GiB" in shown


DESCRIBED = {
    "8xH100-80GB": [
        "decode-0: GPUs 0,1: NVLink, 79.6 GiB free each",
        "decode-1: GPUs 2,3: NVLink, 79.6 GiB free each",
        "small-0: GPU 4: 79.6 GiB free",
    ],
    "4xA100-40GB-PCIe,1xL4": [
        "decode-0: GPUs 0,1: NVLink, 40.0 GiB free each",
        "decode-1: GPUs 2,3: NVLink, 40.0 GiB free each",
        "small-0: GPU 4: 22.5 GiB free",
    ],
    "8xL40S": [
        "decode-0: GPUs 0,1: one PCIe switch, 45.0 GiB free each",
        "decode-1: GPUs 2,3: one PCIe switch, 45.0 GiB free each",
        "small-0: GPU 4: 45.0 GiB free",
    ],
    "8xV100-32GB": [
        "decode-0: GPUs 0,3: NVLink, 32.0 GiB free each",
        "decode-1: GPUs 1,2: NVLink, 32.0 GiB free each",
        "small-0: GPU 4: 32.0 GiB free",
    ],
    "4xL4,2xL40S,1xH100-80GB:mig-1g.10gb*7": [
        "decode-0: GPUs 0,1: one PCIe switch, 22.5 GiB free each",
        "decode-1: GPUs 2,3: one PCIe switch, 22.5 GiB free each",
        "small-0: GPU 4: 45.0 GiB free",
        "GPU 6 left out: it is in MIG mode",
    ],
}


@pytest.mark.parametrize("words", DESCRIBED)
def test_a_machine_one_does_not_sit_at(words: str) -> None:
    Path("two.toml").write_text(f'{MOCK}gpus = 2\n[workers.small]\nengine = "mock"\ngpus = 1\n')
    done = dynamo("plan", "two.toml", "--gpus", words)
    assert (done.returncode, done.stderr) == (0, "")
    shown = done.stdout.splitlines()
    start = shown.index("", 3) + 1
    assert shown[start : shown.index("", start)] == DESCRIBED[words]
    told = plan("two.toml", "--gpus", words)
    assert [f"{p.name}: {p.gpus_reason}" for p in told.processes[1:]] + [*told.gpu_notes] == DESCRIBED[words]


def test_two_roles_share_one_gpu_and_start_one_after_the_other() -> None:
    made = plan(str(TOPOLOGIES / "disagg_same_gpu.toml"), "--gpus", "1xL4")
    decode, prefill = made.processes[1:]
    assert [gpu.uuid for gpu in decode.gpus] == [gpu.uuid for gpu in prefill.gpus] == ["GPU-0"]
    assert (decode.role, prefill.role) == ("decode", "prefill") and [d.name for d in prefill.depends_on] == ["decode-0"]
    assert decode.ports["nixl"] != prefill.ports["nixl"]


def test_one_mig_instance_of_another_machine() -> None:
    made = plan("mock.toml", "--set", "workers.decode.gpus=mig-1g.10gb", "--gpus", "1xH100-80GB:mig-1g.10gb*7")
    assert [(p.gpus[0].uuid, p.gpus_reason) for p in made.processes[1:]] == [
        (f"MIG-0-{number}", "MIG 1g.10gb of GPU 0: 9.8 GiB free") for number in range(2)
    ]


def test_a_machine_that_is_not_known_or_too_small() -> None:
    code, line = failed("mock.toml", "--gpus", "8xH1000")
    assert code == 2 and line.startswith("dynamo: --gpus 8xH1000: unknown GPU H1000; known are B200, H200, ")
    code, line = failed("mock.toml", "--set", "workers.decode.gpus=2", "--gpus", "2xL4")
    assert (code, line) == (
        4,
        "dynamo: pool decode wants 4 GPUs (2 replicas of 2), found 2 GPUs: 0 = GPU-0, 1 = GPU-1; "
        "set workers.decode.gpus = 0, a smaller workers.decode.replicas or another workers.decode.engine\n",
    )


def test_an_engine_that_is_not_installed() -> None:
    words = ["plan", str(TOPOLOGIES / "agg.toml"), "--set", "workers.decode.engine=llamacpp"]
    hidden = f"import sys; sys.modules['xllamacpp'] = None; from dynamo_cli.cli.main import run; sys.exit(run({words}))"
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith("dynamo: pool decode: engine llamacpp is not installed; run `pip install ")


def test_a_missing_model_is_only_a_warning() -> None:
    done = dynamo("plan", TOPOLOGIES / "agg.toml", "--json")
    assert done.returncode == 0
    (warning,) = msgspec.json.decode(done.stdout, type=Plan).warnings
    assert done.stderr == f"dynamo: warning: {warning}\n"
    assert "`dynamo pull HuggingFaceTB/SmolLM2-135M-Instruct`" in warning


def test_options_stand_anywhere_on_the_line() -> None:
    first = dynamo("plan", "--set", "frontend.port=1", "--commands", "mock.toml", "--set", "workers.decode.replicas=1")
    last = dynamo("plan", "mock.toml", "--set", "frontend.port=1", "--set", "workers.decode.replicas=1", "--commands")
    assert first.returncode == 0
    assert first.stdout == last.stdout
    assert len(first.stdout.splitlines()) == 2


def test_commands_are_what_runs() -> None:
    Path("odd.toml").write_text(MOCK + """args = ["--x", "it's a $HOME"]\nenv = { GREETING = "a b" }\n""")
    lines = dynamo("plan", "odd.toml", "--commands").stdout.splitlines()
    for line, process in zip(lines, plan("odd.toml").processes, strict=True):
        words = shlex.split(line)
        assert words[0] == "env"
        environment = dict(word.split("=", 1) for word in words[1 : len(process.env) + 1])
        assert environment == process.env
        assert tuple(words[len(process.env) + 1 :]) == process.argv
    assert plan("odd.toml").processes[1].argv[-3:] == ("--", "--x", "it's a $HOME")


def test_a_table_without_colours_when_nobody_looks() -> None:
    shown = dynamo("plan", "mock.toml").stdout
    assert shown.splitlines()[:7] == [
        "mock: mock.toml",
        "serves org/model on http://127.0.0.1:8000",
        "",
        "PROCESS     ENGINE  GPUS  PORTS  WHY THIS ENGINE",
        "frontend-0  -       -     -",
        "decode-0    mock    -     -      set in the topology",
        "decode-1    mock    -     -      set in the topology",
    ]
    assert "decode-1:\n  env DYN_NAMESPACE=dynamo CUDA_VISIBLE_DEVICES= " in shown


def test_a_table_in_a_terminal() -> None:
    terminal, inside = pty.openpty()
    child = subprocess.Popen([DYNAMO, "plan", "mock.toml"], stdout=inside, stderr=subprocess.DEVNULL)
    os.close(inside)
    shown = b""
    while chunk := read(terminal):
        shown += chunk
    os.close(terminal)
    assert child.wait() == 0
    assert b"decode-1" in shown and b"set in the topology" in shown


def read(terminal: int) -> bytes:
    """Linux answers EIO once the other side is closed."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def test_one_form_at_a_time() -> None:
    assert failed("mock.toml", "--json", "--commands") == (2, "dynamo: plan: choose one of --json and --commands\n")


@pytest.mark.parametrize("name", ["agg", "mock", "echo", "multi_frontend"])
def test_shipped_topologies_plan(name: str) -> None:
    made = plan(TOPOLOGIES / f"{name}.toml")
    assert made.deployment == name.replace("_", "-")
    assert {p.pool for p in made.processes} == {"frontend", "decode"}
    assert [p.name for p in made.processes if p.kind == "frontend"] == [
        f"frontend-{n}" for n in range(2 if name == "multi_frontend" else 1)
    ]
    assert made.models
