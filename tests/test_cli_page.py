"""docs/cli.md is what the commands are."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_cli import errors
from dynamo_cli.cli.completion.commands import PARSERS, all_commands
from dynamo_cli.cli.main import COMPONENTS
from dynamo_cli.cli.page import EXIT_CODES, page

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text() == page(), "run `make cli`"


@pytest.mark.parametrize("command", [each for each in all_commands().walk() if each.path])
def test_every_command_has_all_its_options(command) -> None:  # type: ignore[no-untyped-def]
    _, _, after = PAGE.read_text().partition(f"\n## dynamo {command.path}\n")
    told = after.partition("\n## ")[0]
    assert told
    if "Its options are those of `dynamo worker`" in told:
        assert command.path in COMPONENTS and command.path not in PARSERS
    elif not command.commands:
        names = {name for option in command.options for name in option.names if option.help} - {"-h", "--help"}
        assert not {name for name in names if f"`{name}`" not in told and f"`{name} " not in told}


def test_every_exit_code_of_an_error_is_explained() -> None:
    assert {kind.exit_code for kind in errors._tree(errors.DynamoError).values()} <= EXIT_CODES.keys()
