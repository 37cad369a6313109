"""What there is to complete: the tree of commands, each with its options and arguments."""

from __future__ import annotations

import argparse
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dynamo_cli.cli.completion.kinds import ANY_TEXT, Values, values_of

# Where the components' command lines are parsed.
PARSERS = {
    "frontend": "dynamo_cli.frontend.__main__",
    "router": "dynamo_cli.routing.service.arguments",
    "worker": "dynamo_cli.workers.arguments",
}


@dataclass(frozen=True)
class Option:
    """`names`: every spelling, short ones included. It takes `count` values, none when it is a flag."""

    names: tuple[str, ...]
    help: str
    count: int = 0
    values: Values = ANY_TEXT
    repeats: bool = False


@dataclass(frozen=True)
class Argument:
    """`values` is None when nobody has said what the argument is."""

    name: str
    values: Values | None
    repeats: bool = False


@dataclass(frozen=True)
class Command:
    """`path`: the words after `dynamo`, "" for `dynamo` itself. It has subcommands or arguments."""

    path: str
    help: str
    options: tuple[Option, ...] = ()
    arguments: tuple[Argument, ...] = ()
    commands: tuple[Command, ...] = ()

    @property
    def name(self) -> str:
        return self.path.rpartition(" ")[2]

    def walk(self) -> Iterator[Command]:
        """Itself and all below, in the order of the tree."""
        yield self
        for command in self.commands:
            yield from command.walk()


HELP = Option(("-h", "--help"), "Show this message and exit.")


def all_commands() -> Command:
    """`dynamo` itself; commands are sorted by name."""
    import typer.main

    from dynamo_cli.cli.main import build_app

    root = _command("", typer.main.get_command(build_app()))
    commands = sorted([*root.commands, *_components()], key=lambda command: command.name)
    return Command("", root.help, root.options, (), tuple(commands))


def _command(path: str, command: Any) -> Command:
    params = [param for param in command.params if not getattr(param, "hidden", False)]
    types = _types(command)
    return Command(
        path,
        _first_line(command.short_help or command.help),
        (*(_option(path, param, types) for param in params if param.param_type_name == "option"), HELP),
        tuple(_argument(path, param, types) for param in params if param.param_type_name == "argument"),
        tuple(
            _command(f"{path} {name}".strip(), each)
            for name, each in getattr(command, "commands", {}).items()
            if not each.hidden
        ),
    )


def _types(command: Any) -> dict[str, Any]:
    """From the command's function, since what typer makes of them differs from release to release."""
    if command.callback is None:
        return {}
    parameters = inspect.signature(command.callback, eval_str=True).parameters
    return {name: parameter.annotation for name, parameter in parameters.items()}


def _option(path: str, param: Any, types: dict[str, Any]) -> Option:
    names = (*param.opts, *param.secondary_opts)
    if param.is_flag or param.count:
        return Option(names, param.help or "", repeats=param.count)
    values = values_of(path, param.name, param.metavar, types.get(param.name)) or ANY_TEXT
    return Option(names, param.help or "", param.nargs, values, param.multiple)


def _argument(path: str, param: Any, types: dict[str, Any]) -> Argument:
    return Argument(param.name, values_of(path, param.name, param.metavar, types.get(param.name)), param.nargs == -1)


def _components() -> Iterator[Command]:
    for name, parser in parsers():
        kind = name if name in PARSERS else "worker"
        options = [_argparse_option(kind, action) for action in parser._actions if action.option_strings]
        yield Command(name, _first_line(parser.description), tuple(options))


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """The components and their command lines."""
    from dynamo_cli.cli.main import COMPONENTS

    for name, (_, preset) in COMPONENTS.items():
        parser: argparse.ArgumentParser = importlib.import_module(PARSERS.get(name, PARSERS["worker"]))._parser()
        if preset:
            parser.description = f"Run a worker with the {preset[1]} engine."
        yield name, parser


def _argparse_option(kind: str, action: argparse.Action) -> Option:
    help_text = "" if action.help in (None, argparse.SUPPRESS) else str(action.help)
    metavar = f"{{{','.join(action.choices)}}}" if action.choices else action.metavar
    values = values_of(kind, action.dest, str(metavar or "")) or ANY_TEXT
    return Option(tuple(action.option_strings), help_text, 0 if action.nargs == 0 else 1, values)


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]
