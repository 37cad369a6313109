"""Every command line of README.md and docs/ works as it is written there. Only port 8000 becomes a free one."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dynamo_cli.cli.main import COMMANDS, COMPONENTS
from tests.integration.documented import Command, block_commands, mentions, typed
from tests.integration.dynamo import EXECUTABLE
from tests.integration.reader import Reader

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
README = REPOSITORY / "README.md"
PAGES = sorted((REPOSITORY / "docs").glob("*.md"))
PLACEHOLDER = re.compile(r"[A-Z]+(\.\.\.)?|\.\.\.")


@pytest.fixture
def reader(clean_environment: Path, tmp_path: Path) -> Reader:
    return Reader(tmp_path, EXECUTABLE.parent)


@pytest.mark.parametrize("page", [page for page in PAGES if list(block_commands(page))], ids=lambda page: page.name)
def test_a_page_of_docs(reader: Reader, page: Path) -> None:
    shutil.copytree(REPOSITORY / "topologies", reader.directory / "topologies")
    reader.free_the_port()
    with reader:
        for block in block_commands(page):
            reader.follow(block)


@pytest.mark.timeout(600)
def test_the_readme_in_a_fresh_clone(reader: Reader, tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    publish(origin)
    with reader:
        for block in block_commands(README):
            reader.follow(block, {"<this repository>": str(origin)})


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_what_a_page_shows_as_typed_is_run_on_it_or_in_the_readme(page: Path) -> None:
    run = {tuple(command.words) for file in (README, page) for block in block_commands(file) for command in block}
    assert not [command for command in typed(page) if tuple(command.words) not in run]


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_what_the_text_mentions_exists(page: Path) -> None:
    wrong = [f"{command.where}: {problem}" for command in mentions(page) if (problem := problem_of(command))]
    assert not wrong, "\n".join(wrong)


def problem_of(command: Command) -> str | None:
    _, name, *rest = command.words
    if PLACEHOLDER.fullmatch(name) or name.startswith("-"):
        return None
    if name not in (*COMMANDS, *COMPONENTS):
        return f"there is no command {name}"
    known = options_of(name)
    if rest and rest[0] in subcommands_of(name):
        known |= options_of(name, rest[0])
    unknown = [word for word in rest if word.startswith("-") and word.partition("=")[0] not in known]
    return f"{name} has no {', '.join(unknown)}" if unknown else None


def options_of(*command: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", help_of(*command)))


def subcommands_of(name: str) -> set[str]:
    _, _, listed = help_of(name).partition("\nCommands:\n")
    return set(re.findall(r"^  ([a-z]+)", listed, re.M))


@functools.cache
def help_of(*command: str) -> str:
    done = subprocess.run([EXECUTABLE, *command, "--help"], capture_output=True, text=True, check=True)
    return done.stdout


def publish(origin: Path) -> None:
    """A repository that holds the working tree as it is now."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).is_file():
            (origin / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, origin / name)
    for words in ("init -q", "add -A", "-c user.name=test -c user.email=test@localhost commit -qm tree"):
        subprocess.run(["git", *words.split()], cwd=origin, check=True)
