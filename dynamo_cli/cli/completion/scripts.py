"""The completion script of each shell."""

from __future__ import annotations

from collections.abc import Callable

from dynamo_cli.cli.completion.bash import bash
from dynamo_cli.cli.completion.commands import Command, all_commands
from dynamo_cli.cli.completion.fish import fish
from dynamo_cli.cli.completion.zsh import zsh

WRITERS: dict[str, Callable[[Command], str]] = {"bash": bash, "zsh": zsh, "fish": fish}


def script(shell: str) -> str:
    """The completion script for `shell`, one of WRITERS."""
    return WRITERS[shell](all_commands())
