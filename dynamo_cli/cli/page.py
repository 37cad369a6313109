"""`python -m dynamo_cli.cli.page`: docs/cli.md, made of the commands themselves."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterator
from typing import Any

from dynamo_cli.cli.completion.commands import PARSERS, parsers
from dynamo_cli.cli.completion.kinds import values_of

_HEAD = """\
# Commands

<!-- made by `make cli` -->

`dynamo COMMAND --help` says the same. Where a command takes a deployment and none is named, the only running one is
meant. Options may stand anywhere behind their command; `--` ends them.

| exit code | meaning |
|---|---|
"""
EXIT_CODES = {
    0: "ok",
    1: "failed",
    2: "a wrong command line, topology or request",
    3: "not ready, degraded, or overloaded",
    4: "a resource is missing: GPU, port, memory, disk",
    5: "an engine or a model is missing",
    130: "interrupted",
    141: "who read the output has gone",
}
"""[behaviour.md](behaviour.md#exit-codes) says which command ends with which of them when."""
_MORE = "\nWhich command ends with which of them when: [behaviour.md](behaviour.md#exit-codes).\n"
_COMPONENTS = """
# Components

What `up` starts, also by hand. Options of NVIDIA Dynamo that these take, or refuse and why: [flags.md](flags.md).
"""
VALUE_OF = {"int": "N", "float": "X", "Path": "FILE"}
"""By what is in the annotation."""


def page() -> str:
    import typer.main

    from dynamo_cli.cli.main import build_app

    codes = "".join(f"| {code} | {meaning} |\n" for code, meaning in EXIT_CODES.items())
    root = typer.main.get_command(build_app())
    commands = "".join(_command(name, each) for name, each in root.commands.items())  # type: ignore[attr-defined]
    components = "".join(_component(name, parser) for name, parser in parsers())
    return f"{_HEAD}{codes}{_MORE}{commands}{_COMPONENTS}{components}"


def _command(path: str, command: Any) -> str:
    """With those below it."""
    below = [each for each in getattr(command, "commands", {}).items() if not each[1].hidden]
    if below:
        told = f"\n## dynamo {path}\n\n{_text(command.help)}\n"
        return told + "".join(_command(f"{path} {name}", each) for name, each in below)
    params = [param for param in command.params if not getattr(param, "hidden", False)]
    arguments = [param for param in params if param.param_type_name == "argument"]
    options = [param for param in params if param.param_type_name == "option"]
    types = {name: each.annotation for name, each in _signature(command).items()}
    usage = " ".join([f"dynamo {path}", *map(_usage, arguments), *(["[OPTION]..."] if options else [])])
    told = f"\n## dynamo {path}\n\n```\n{usage}\n```\n\n{_text(command.help or command.short_help)}\n"
    rows = [
        *((f"`{_usage(param)}`", "", param.help) for param in arguments),
        *((_names(path, param, types), _default(param), param.help) for param in options),
    ]
    return told + _table(rows)


def _signature(command: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(command.callback, eval_str=True).parameters)


def _usage(param: Any) -> str:
    name = (param.metavar or param.name.upper()).strip("[]").removesuffix("...").rstrip("]")
    many = "..." if param.nargs == -1 else ""
    return f"{name}{many}" if param.required else f"[{name}]{many}"


def _names(path: str, param: Any, types: dict[str, Any]) -> str:
    value = "" if param.is_flag or param.count else f" {_value(path, param, types.get(param.name))}"
    names = [f"`{name}{value}`" for name in param.opts]
    return ", ".join([*names, *(f"`{name}`" for name in param.secondary_opts)])


def _value(path: str, param: Any, annotation: Any) -> str:
    known = values_of(path, param.name, param.metavar, annotation)
    if known and known.choices:
        return "|".join(known.choices)
    if param.metavar:
        return str(param.metavar)
    return next((word for kind, word in VALUE_OF.items() if kind in str(annotation)), "TEXT")


def _default(param: Any) -> str:
    if isinstance(param.show_default, str):
        return param.show_default
    if param.multiple or param.default in (None, False, "", (), []) or callable(param.default):
        return ""
    return f"`{'on' if param.default is True else param.default}`"


def _component(name: str, parser: argparse.ArgumentParser) -> str:
    told = f"\n## dynamo {name}\n\n{_text(parser.description)}\n"
    if name not in PARSERS:
        return f"{told}\nIts options are those of `dynamo worker`.\n"
    actions = [action for action in parser._actions if action.help != argparse.SUPPRESS and action.option_strings]
    return told + _table(
        [(_argparse_names(action), "", str(action.help or "")) for action in actions if action.dest != "help"]
    )


def _argparse_names(action: argparse.Action) -> str:
    choices = "|".join(map(str, action.choices or ()))
    value = "" if action.nargs == 0 else f" {choices or action.metavar or 'VALUE'}"
    return ", ".join(f"`{name}{value}`" for name in action.option_strings)


def _text(help_text: str | None) -> str:
    return inspect.cleandoc(help_text or "").replace("\f", "").strip()


def _table(rows: list[tuple[str, str, str | None]]) -> str:
    if not rows:
        return ""
    with_defaults = any(default for _, default, _ in rows)
    head = ["| | default | |", "|---|---|---|"] if with_defaults else ["| | |", "|---|---|"]
    return "\n" + "\n".join([*head, *_lines(rows, with_defaults)]) + "\n"


def _lines(rows: list[tuple[str, str, str | None]], with_defaults: bool) -> Iterator[str]:
    for names, default, words in rows:
        cells = [names, *([default] if with_defaults else []), words or ""]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(page())
