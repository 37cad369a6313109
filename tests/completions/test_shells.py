"""The scripts in real shells, without a deployment: commands, options, files, names in a file, odd settings."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from dynamo_cli.cli.completion.commands import Argument, Command, Option
from dynamo_cli.cli.completion.kinds import Values
from dynamo_cli.cli.completion.scripts import WRITERS
from tests.completions import shells
from tests.completions.shells import SCRIPTS, SHELLS, after_tab, needs, offers
from tests.completions.test_answer import TOPOLOGIES

LINES = {
    "dynamo resta": {"restart"},
    "dynamo --v": {"--version"},
    "dynamo topology ": {"list", "show", "schema"},
    "dynamo completions in": {"install"},
    "dynamo completions install ": {"bash", "zsh", "fish"},
    "dynamo status --wait ": {"ready", "degraded", "failed", "stopped"},
    "dynamo logs -f --level ": {"trace", "debug", "info", "warning", "error"},
    "dynamo frontend --router-mode le": {"least-loaded"},
    "dynamo mocker --engine mo": {"mock"},
    "dynamo bench --conc": {"--concurrency"},
    "dynamo bench --url ": set(),
    "dynamo nonsense ": set(),
    "dynamo up 'my own.toml' ": {"decode"},
    "dynamo up -d --timeout 5 services.toml setup ": {"decode", "files"},
    "dynamo up -- services.toml setup decode ": {"files"},
    "dynamo plan services.toml --set services.setup.restart=": {"no", "on-failure", "always"},
    "dynamo topology show echo.toml --set frontend.p": {"frontend.port="},
    "dynamo pull Hugging": {"HuggingFaceTB/SmolLM2-135M-Instruct"},
}


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-models"))
    shutil.copy(TOPOLOGIES / "echo.toml", "my own.toml")
    for name in ("services.toml", "echo.toml"):
        shutil.copy(TOPOLOGIES / name, tmp_path)
    (tmp_path / "topologies").mkdir()
    (tmp_path / "topologies" / "agg.toml").touch()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "other.txt").touch()
    return tmp_path


def short(words: list[str]) -> set[str]:
    """bash replaces only what stands after the last = of a word."""
    return {word if word.endswith("=") else word.rpartition("=")[2] for word in words}


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize("shell", SHELLS)
def test_a_line_is_completed(shell: str) -> None:
    assert {line: short(offers(shell, line)) for line in LINES} == LINES


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize("shell", SHELLS)
def test_topologies_are_toml_files_and_the_shipped_ones(shell: str) -> None:
    found = {word.rstrip("/").replace("\\", "") for word in offers(shell, "dynamo up ")}
    assert found == {"my own.toml", "services.toml", "echo.toml", "topologies", "topologies/agg.toml"}
    assert "topologies" in {word.rstrip("/") for word in offers(shell, "dynamo plan top")}


@pytest.mark.parametrize("shell", SHELLS)
def test_where_nothing_is_there_is_silence(shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "only").mkdir()
    assert [word.rstrip("/") for word in offers(shell, "dynamo up o")] == ["only"]
    for line in (
        "dynamo up x",
        "dynamo up missing.toml ",
        "dynamo down ",
        "dynamo up/1 ",
        "dynamo bench x ",
    ):
        assert offers(shell, line) == []


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize("shell", SHELLS)
def test_a_home_is_written_with_a_tilde(shell: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(directory))
    assert after_tab(shell, "dynamo up ~/ech") == "dynamo up ~/echo.toml @"
    assert short(offers(shell, "dynamo up ~/services.toml ")) == {"decode", "setup", "files"}


TABS = {
    "dynamo resta": "dynamo restart @",
    "dynamo up services.toml --set frontend.po": "dynamo up services.toml --set frontend.port=@",
    "dynamo up services.toml --set=router.mode=ra": "dynamo up services.toml --set=router.mode=random @",
    "dynamo up topologies/a": "dynamo up topologies/agg.toml @",
    "dynamo up top": "dynamo up topologies/@",
    "dynamo up ag": "dynamo up topologies/agg.toml @",
    "dynamo plan topologies/agg.toml --set name=x fr": "dynamo plan topologies/agg.toml --set name=x fr@",
    "dynamo up my": "dynamo up my\\ own.toml @",
    "dynamo chat --mod": "dynamo chat --model{end}@",
}


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize("shell", SHELLS)
def test_a_tab_in_a_terminal(shell: str) -> None:
    end = "=" if shell == "zsh" else " "  # which zsh takes away again when a blank follows
    assert {line: after_tab(shell, line) for line in TABS} == {line: tab.format(end=end) for line, tab in TABS.items()}


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize(
    ("shell", "setting"),
    [
        pytest.param("bash", "set -eu; set -f; IFS=x; shopt -s nullglob", marks=needs("bash")),
        pytest.param("zsh", "setopt nounset noglob shwordsplit ksharrays", marks=needs("zsh")),
        pytest.param("fish", "set -g fish_features qmark-noglob", marks=needs("fish")),
    ],
)
def test_what_the_user_has_set_does_not_matter(shell: str, setting: str) -> None:
    for line in ("dynamo resta", "dynamo up services.toml ", "dynamo topology ", "dynamo up top", "dynamo plan ser"):
        assert offers(shell, line, before=setting) == offers(shell, line) != []


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize("shell", SHELLS)
def test_another_release_of_dynamo_may_know_nothing(
    shell: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = directory / "dynamo"
    old.write_text("#!/bin/sh\necho 'dynamo: there is no command __complete' >&2\nexit 2\n")
    old.chmod(old.stat().st_mode | stat.S_IXUSR)
    assert offers(shell, "./dynamo up services.toml ") == []
    assert offers(shell, "./dynamo resta") == ["restart"]


PAIR = Option(("--compare", "-C"), "Two of them.", 2, Values(choices=("left", "right")))
ODD = Command(
    "",
    "",
    commands=(
        Command("meet", "It's [odd]: `x` $HOME \\", (PAIR,), (Argument("who", Values(choices=("you",)), True),)),
        Command("meet-again", "", (PAIR, Option(("--file",), "", 1, Values("file")))),
    ),
)


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize("shell", SHELLS)
def test_commands_yet_to_come(shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shells, "SCRIPTS", tmp_path)
    (tmp_path / f"dynamo.{shell}").write_text(WRITERS[shell](ODD))
    for line in ("dynamo meet --compare ", "dynamo meet --compare left ", "dynamo meet-again -C left "):
        assert set(offers(shell, line)) == {"left", "right"}
    assert offers(shell, "dynamo meet --compare left right ") == ["you"]
    assert set(offers(shell, "dynamo me")) == {"meet", "meet-again"}
    assert short(offers(shell, "dynamo meet-again --file=oth")) == {"other.txt"}


def test_the_scripts_are_sound() -> None:
    for shell in ("bash", "zsh", "fish"):
        if shutil.which(shell):
            subprocess.run([shell, "-n", SCRIPTS / f"dynamo.{shell}"], check=True)


@needs("shellcheck")
def test_shellcheck_finds_nothing() -> None:
    done = subprocess.run(["shellcheck", SCRIPTS / "dynamo.bash"], capture_output=True, text=True)
    assert done.stdout == ""
