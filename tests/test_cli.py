"""The `dynamo` executable as a user meets it."""

from __future__ import annotations

import pwd
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dynamo_cli import __version__
from dynamo_cli.cli.main import COMMANDS, COMPONENTS, run
from dynamo_cli.runtime.paths import dynamo_home
from tests.integration.dynamo import cpu_s_of

REPOSITORY = Path(__file__).parents[1]


def dynamo(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dynamo_cli", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=cwd, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("name", [*COMMANDS, *COMPONENTS])
def test_every_command_explains_itself(name: str) -> None:
    done = dynamo(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage" in done.stdout.lower()


def test_help_lists_every_command_and_costs_little() -> None:
    done = dynamo("--help")
    assert done.returncode == 0
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    cpu_s = min(cpu_s_of(lambda: dynamo("--help")) for _ in range(3))
    assert cpu_s < 0.4, "the budget is 0.2 CPU-s; twice that is a forgotten lazy import"


def test_version() -> None:
    assert dynamo("--version").stdout == f"dynamo {__version__}\n"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("frobnicate",), "there is no command frobnicate; `dynamo --help` lists them"),
        (("statu",), "there is no command statu; did you mean `dynamo status`?"),
        (("wroker",), "did you mean `dynamo worker`?"),
        (("frontend", "--http-port", "x"), "--http-port: invalid int value: 'x'; try dynamo frontend --help"),
        (("frontend", "--metrics-prefix", "a-b"), "metrics prefix 'a-b': use letters, digits, _ and :"),
        (("frontend", "extra"), "unexpected argument 'extra'; try dynamo frontend --help"),
        (("worker", "--engine"), "--engine: expected one argument; try dynamo worker --help"),
        (("worker", "--engine", "mock", "--options", "{"), "--options: not valid JSON"),
        (("mocker", "--tp", "x"), "--tp: invalid int value: 'x'"),
        (("--nope",), "--nope"),
        (("bench", "--modle"), "--modle; did you mean --model?"),
        (("bench", "-c", "many"), "--concurrency"),
        (("completions",), "SHELL"),
        (("completions", "tcsh"), "bash, zsh, fish"),
    ],
)
def test_a_wrong_command_line_is_one_line(args: tuple[str, ...], words: str) -> None:
    done = dynamo(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert words.lower() in done.stderr.lower()
    assert done.stderr.count("\n") == 1


def test_a_user_without_a_home_is_told_what_to_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def expanduser(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")  # for a uid that nobody knows

    monkeypatch.delenv("DYNAMO_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", expanduser)
    assert run(["status"]) == 2
    assert capsys.readouterr().err.startswith("dynamo: there is no home directory; set HOME, or DYNAMO_HOME")


@pytest.mark.parametrize("arguments", ["plan topologies/echo.toml", "status", "completions bash", "frontend -h"])
def test_closed_standard_streams_are_no_crash(arguments: str) -> None:
    command = f"exec {sys.executable} -m dynamo_cli {arguments}"
    whole = dynamo(*arguments.split(), cwd=REPOSITORY)
    for closed in ("<&-", ">&-", "<&- >&-"):
        done = subprocess.run(f"{command} {closed}", shell=True, capture_output=True, text=True, cwd=REPOSITORY)
        assert (done.returncode, done.stderr) == (whole.returncode, whole.stderr)


@pytest.mark.parametrize("arguments", ["doctor", "topology show topologies/mock.toml", "completions bash", "--help"])
def test_a_reader_that_has_gone_is_an_end_by_sigpipe(arguments: str) -> None:
    command = f"{sys.executable} -m dynamo_cli {arguments} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=REPOSITORY)
    assert (done.returncode, done.stdout, done.stderr) == (128 + 13, "", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
@pytest.mark.parametrize("arguments", ["plan topologies/echo.toml", "completions bash", "--help", "--version"])
def test_a_full_disk_for_the_output_is_one_line(arguments: str) -> None:
    command = [sys.executable, "-m", "dynamo_cli", *arguments.split()]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert (done.returncode, done.stderr) == (4, "dynamo: cannot write: No space left on device\n")


def test_an_empty_home_is_none_and_not_the_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DYNAMO_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "")
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: SimpleNamespace(pw_dir=str(tmp_path)))
    assert run(["ps"]) == 0
    assert dynamo_home() == tmp_path / ".local" / "state" / "dynamo"
