"""Shell completions, generated from the commands themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dynamo_cli.cli.completion.bash import bash
from dynamo_cli.cli.completion.commands import Command, all_commands
from dynamo_cli.cli.completion.fish import fish
from dynamo_cli.cli.completion.zsh import zsh

SHELLS: dict[str, Callable[[Sequence[Command]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}


def script(shell: str) -> str:
    """The completion script for `shell`, one of SHELLS."""
    return SHELLS[shell](all_commands())
