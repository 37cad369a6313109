"""What is completed comes from the commands themselves; what their values are is said for every one."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import pytest

from dynamo_cli.cli.completion import in_deployments
from dynamo_cli.cli.completion.commands import Command, Option, all_commands
from dynamo_cli.cli.completion.kinds import ASKED, BY_PARAMETER, LOG_LEVELS, Values, values_of
from dynamo_cli.cli.completion.scripts import WRITERS, script
from dynamo_cli.cli.completion.shells import SHELLS
from dynamo_cli.cli.main import COMMANDS, COMPONENTS
from dynamo_cli.logs import levels
from dynamo_cli.runtime import logs

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def root() -> Command:
    return all_commands()


def option(root: Command, path: str, name: str) -> Option:
    command = next(each for each in root.walk() if each.path == path)
    return next(each for each in command.options if name in each.names)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_completions_in_the_repository_are_fresh(shell: str) -> None:
    checked_in = (REPOSITORY / "completions" / f"dynamo.{shell}").read_text()
    assert checked_in == script(shell), "run `make completions`"


def test_every_shell_has_its_script() -> None:
    assert tuple(WRITERS) == SHELLS


def test_every_command_is_there(root: Command) -> None:
    assert [each.path for each in root.commands] == sorted([*COMMANDS, *COMPONENTS])
    assert {"topology show", "completions install"} <= {each.path for each in root.walk()}


def test_it_is_said_of_every_argument_what_it_is(root: Command) -> None:
    unsaid = [
        f"({command.path!r}, {argument.name!r})"
        for command in root.walk()
        for argument in command.arguments
        if argument.values is None
    ]
    assert not unsaid, f"add {', '.join(unsaid)} to completion/kinds.py, or give them a metavar it knows"


def test_no_row_is_about_a_parameter_that_is_gone(root: Command) -> None:
    arguments = {(command.path, argument.name) for command in root.walk() for argument in command.arguments}
    options = {
        (command.path, name.lstrip("-").replace("-", "_"))
        for command in root.walk()
        for option in command.options
        for name in option.names
    }
    assert set(BY_PARAMETER) <= arguments | options


def test_every_kind_is_answered() -> None:
    assert {*in_deployments.VALUES, "part", "setting", "model"} == set(ASKED)


def test_the_levels_are_those_of_the_logs() -> None:
    assert set(LOG_LEVELS) <= set(levels.NAMES) & set(logs.LEVELS)


def test_options_say_how_many_values_they_take_and_whether_again(root: Command) -> None:
    assert option(root, "up", "--set") == Option(
        ("--set",), "Override a value of the file.", 1, Values("setting"), True
    )
    assert option(root, "up", "--detach").names == ("-d", "--detach")
    assert option(root, "up", "--detach").count == 0
    assert option(root, "status", "--wait").values.choices == ("ready", "degraded", "failed", "stopped")
    assert option(root, "worker", "--store-kv").values.choices == ("file", "mem")
    assert option(root, "completions install", "--path").values == Values("file")


class Arrivals(str, Enum):
    POISSON = "poisson"
    GAMMA = "gamma"


TYPES: list[tuple[str | None, object, Values | None]] = [
    ("[DEPLOYMENT]", str, Values("deployment")),
    ("SERVICE...", list[str], Values("service")),
    ("a|b-c|d", str, Values(choices=("a", "b-c", "d"))),
    ("{file,mem}", str, Values(choices=("file", "mem"))),
    (None, Path, Values("file")),
    ("A B", tuple[Path, Path] | None, Values("file")),
    ("FILE FILE", tuple[str, str], Values("file")),
    ("DIR", Path | None, Values("directory")),
    (None, Annotated[Arrivals, "help"], Values(choices=("poisson", "gamma"))),
    (None, list[Literal["x", "y"]], Values(choices=("x", "y"))),
    ("REGEX", str, None),
    (None, int, None),
]


@pytest.mark.parametrize(("metavar", "annotation", "expected"), TYPES)
def test_metavar_and_type_say_what_a_value_is(metavar: str | None, annotation: object, expected: Values | None) -> None:
    assert values_of("new", "parameter", metavar, annotation) == expected
