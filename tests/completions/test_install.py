from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dynamo_cli.cli.completion.install import install, uninstall
from dynamo_cli.cli.completion.scripts import script
from dynamo_cli.cli.completion.shells import running_shell
from dynamo_cli.cli.main import run
from dynamo_cli.errors import ResourceMissing, UsageError
from tests.completions.shells import EXECUTABLE, environment, needs

PLACES = {
    "bash": ".local/share/bash-completion/completions/dynamo",
    "zsh": ".local/share/zsh/site-functions/_dynamo",
    "fish": ".config/fish/completions/dynamo.fish",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "BASH_COMPLETION_USER_DIR", "FPATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("shell", PLACES)
def test_it_is_written_where_the_shell_looks_and_once(shell: str, home: Path) -> None:
    place = home / PLACES[shell]
    assert next(install(shell, None, True)) == f"would write {place}"
    assert not place.exists()
    assert next(install(shell, None, False)) == f"wrote {place}"
    assert place.read_text() == script(shell)
    assert [each.name for each in place.parent.iterdir()] == [place.name]
    assert next(install(shell, None, False)) == f"already current: {place}"
    place.write_text(place.read_text() + "# of an older release\n")
    assert next(install(shell, None, False)) == f"replaced {place}"
    assert list(uninstall(shell, None, True)) == [f"would remove {place}"]
    assert list(uninstall(None, None, False)) == [f"removed {place}"]
    assert list(uninstall(None, None, False)) == ["nothing is installed"]


def test_the_variables_that_move_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert str(home / "data/bash-completion/completions/dynamo") in next(install("bash", None, True))
    assert str(home / ".config/fish/completions/dynamo.fish") in next(install("fish", None, True))
    monkeypatch.setenv("BASH_COMPLETION_USER_DIR", f"{home}/own:{home}/second")
    assert str(home / "own/completions/dynamo") in next(install("bash", None, True))


def test_a_path_is_a_file_or_a_directory(home: Path) -> None:
    assert next(install("zsh", home, True)) == f"would write {home / '_dynamo'}"
    assert list(install("fish", home / "my file", False))[-1] == f"  source '{home / 'my file'}'"


def test_a_link_stays_one(home: Path) -> None:
    place = home / PLACES["fish"]
    place.parent.mkdir(parents=True)
    place.symlink_to(home / "dotfiles.fish")
    list(install("fish", None, False))
    assert place.is_symlink()
    assert (home / "dotfiles.fish").read_text() == script("fish")


def test_a_file_of_somebody_else_is_left_alone(home: Path) -> None:
    place = home / PLACES["fish"]
    place.parent.mkdir(parents=True)
    place.write_text("# mine\n")
    for act in (install, uninstall):
        with pytest.raises(UsageError, match="was not written by dynamo"):
            list(act("fish", None, False))
    assert list(uninstall(None, None, False)) == ["nothing is installed"]
    assert place.read_text() == "# mine\n"


def test_a_place_that_cannot_be_written_is_a_line(home: Path) -> None:
    (home / ".config").touch()
    with pytest.raises(ResourceMissing, match=r"dynamo\.fish: cannot be .*: Not a directory"):
        list(install("fish", None, False))


def test_no_home_is_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # for a uid that nobody knows
    assert run(["completions", "install", "fish"]) == 2
    assert capsys.readouterr().err == (
        "dynamo: there is no home directory; set HOME or XDG_CONFIG_HOME, or give --path\n"
    )


@pytest.mark.parametrize("action", ["install", "uninstall"])
def test_an_unknown_shell_is_a_line(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completions", action, "tcsh"]) == 2
    assert capsys.readouterr().err == "dynamo: there are no completions for tcsh; choose one of bash, zsh, fish\n"


def test_the_shell_is_that_of_the_user() -> None:
    assert running_shell({"SHELL": "/usr/bin/fish"}) == "fish"


def test_else_the_shell_is_what_runs_this(home: Path) -> None:
    environ = {**os.environ, "SHELL": "/usr/sbin/nologin"}
    command = f"{EXECUTABLE} completions install --dry-run; :"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environ)
    assert done.stdout.startswith(f"would write {home / PLACES['bash']}\n")


@needs("fish")
def test_fish_loads_it_by_itself(home: Path) -> None:
    list(install("fish", None, False))
    command = ["fish", "-c", "complete -C 'dynamo resta'"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert done.stdout.startswith("restart\t")


@pytest.mark.skipif(not Path("/usr/share/bash-completion/bash_completion").exists(), reason="no bash-completion here")
def test_bash_loads_it_by_itself(home: Path) -> None:
    list(install("bash", None, False))
    program = """
source /usr/share/bash-completion/bash_completion
_completion_loader dynamo
complete -p dynamo"""
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True)
    assert done.stdout == "complete -F _dynamo dynamo\n"


@needs("zsh")
def test_zsh_loads_it_with_the_two_lines(home: Path) -> None:
    lines = list(install("zsh", None, False))
    program = "\n".join([*(line.strip() for line in lines[2:]), "print $_comps[dynamo]"]).replace(
        "compinit\n", "compinit -D -u\n"
    )
    done = subprocess.run(["zsh", "-f", "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("_dynamo\n", "")
