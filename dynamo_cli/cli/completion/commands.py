"""What there is to complete: every command with its options and what its arguments are."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

ArgumentKind = Literal["", "topology", "deployment", "shell"]

# What the words after a command are, by the name of its parameter.
ARGUMENTS: dict[str, ArgumentKind] = {
    "file": "topology",
    "topology": "topology",
    "name": "deployment",
    "deployment": "deployment",
    "shell": "shell",
}

# Where the components' command lines are parsed.
FRONTEND_PARSER = "dynamo_cli.frontend.__main__"
WORKER_PARSER = "dynamo_cli.workers.arguments"


@dataclass(frozen=True)
class Option:
    """`names`: every spelling, short ones included."""

    names: tuple[str, ...]
    help: str
    takes_value: bool
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Command:
    name: str
    help: str
    options: tuple[Option, ...] = ()
    argument: ArgumentKind = ""


def all_commands() -> list[Command]:
    """By name."""
    return sorted([*_commands(), *_components()], key=lambda command: command.name)


def _commands() -> Iterator[Command]:
    import typer.main

    from dynamo_cli.cli.main import build_app

    group: Any = typer.main.get_command(build_app())
    for name, command in group.commands.items():
        options = [_option(param) for param in command.params if param.param_type_name == "option"]
        words = [param.name for param in command.params if param.param_type_name == "argument"]
        kind = ARGUMENTS.get(words[0], "") if words and name != "pull" else ""
        yield Command(name, _first_line(command.help), tuple(options), kind)


def _option(param: Any) -> Option:
    choices = tuple(str(choice) for choice in getattr(getattr(param, "type", None), "choices", ()))
    return Option((*param.opts, *param.secondary_opts), param.help or "", not param.is_flag, choices)


def _components() -> Iterator[Command]:
    from dynamo_cli.cli.main import COMPONENTS

    for name, (_, preset) in COMPONENTS.items():
        module = importlib.import_module(FRONTEND_PARSER if name == "frontend" else WORKER_PARSER)
        parser: argparse.ArgumentParser = module._parser()
        options = [_argparse_option(action) for action in parser._actions if action.option_strings]
        help_text = f"Run a worker with the {preset[1]} engine." if preset else (parser.description or "")
        yield Command(name, _first_line(help_text), tuple(options))


def _argparse_option(action: argparse.Action) -> Option:
    choices = tuple(str(choice) for choice in action.choices or ())
    help_text = "" if action.help in (None, argparse.SUPPRESS) else str(action.help)
    return Option(tuple(action.option_strings), help_text, action.nargs != 0, choices)


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]
