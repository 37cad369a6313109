"""The `dynamo` executable: components first, without importing what only people need, then the commands."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from dynamo_cli.errors import DynamoError, UsageError

if TYPE_CHECKING:
    import typer

COMPONENTS = {
    "frontend": ("dynamo_cli.frontend.__main__", ()),
    "worker": ("dynamo_cli.workers.__main__", ()),
    "mocker": ("dynamo_cli.workers.__main__", ("--engine", "mock")),
    "vllm": ("dynamo_cli.workers.__main__", ("--engine", "vllm")),
    "sglang": ("dynamo_cli.workers.__main__", ("--engine", "sglang")),
    "trtllm": ("dynamo_cli.workers.__main__", ("--engine", "trtllm")),
}
COMMANDS = ("up", "down", "status", "logs", "plan", "chat", "bench", "pull", "completions")


def run(argv: list[str]) -> int:
    """Run one command line; returns the exit code. Every DynamoError becomes its one line on stderr."""
    try:
        if argv and argv[0] in COMPONENTS:
            module, preset = COMPONENTS[argv[0]]
            return int(importlib.import_module(module).main([*preset, *argv[1:]]) or 0)
        _check_command(argv)
        return _run_command(argv)
    except DynamoError as error:
        print(error if error.code == "topology" else f"dynamo: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _check_command(argv: list[str]) -> None:
    if not argv or argv[0].startswith("-") or argv[0] in COMMANDS:
        return
    import difflib

    near = difflib.get_close_matches(argv[0], [*COMMANDS, *COMPONENTS], 1, 0.7)
    hint = f"did you mean `dynamo {near[0]}`?" if near else "`dynamo --help` lists them"
    raise UsageError(f"there is no command {argv[0]}; {hint}")


def _run_command(argv: list[str]) -> int:
    import typer

    try:
        return int(build_app()(argv or ["--help"], prog_name="dynamo", standalone_mode=False) or 0)
    except typer.Abort:
        return 128 + signal.SIGINT
    except Exception as error:
        # click's usage errors; by their method, because typer ships click under a name of its own since 0.26
        if not hasattr(error, "format_message"):
            raise
        print(f"dynamo: {_usage_line(error)}", file=sys.stderr)
        return 2


def _usage_line(error: Any) -> str:
    words = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{words[:1].lower()}{words[1:]}; try {context.command_path if context else 'dynamo'} --help"


def build_app() -> typer.Typer:
    """The commands for people, as `dynamo --help` lists them."""
    import typer

    from dynamo_cli import __version__

    app = typer.Typer(
        name="dynamo",
        help="One command turns a machine into an LLM inference deployment.",
        epilog=f"Components, started by `up` or by hand: {', '.join(COMPONENTS)}.",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
        if version:
            print(f"dynamo {__version__}")
            raise typer.Exit

    for name in COMMANDS:
        importlib.import_module(f"dynamo_cli.cli.{name}").register(app)
    return app
