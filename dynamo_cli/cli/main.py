"""The `dynamo` executable: components first, without importing what only people need, then the commands."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from dynamo_cli.cli import streams
from dynamo_cli.errors import DynamoError, ResourceMissing, UsageError

if TYPE_CHECKING:
    import typer

COMPONENTS = {
    "frontend": ("dynamo_cli.frontend.__main__", ()),
    "router": ("dynamo_cli.routing.service.__main__", ()),
    "worker": ("dynamo_cli.workers.__main__", ()),
    "mocker": ("dynamo_cli.workers.__main__", ("--engine", "mock")),
    "vllm": ("dynamo_cli.workers.__main__", ("--engine", "vllm")),
    "sglang": ("dynamo_cli.workers.__main__", ("--engine", "sglang")),
    "trtllm": ("dynamo_cli.workers.__main__", ("--engine", "trtllm")),
}
REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE)
"""What the machine says when it does not let us: told in a line, not as a crash."""
COMPLETE = "__complete"
"""Asked by the completion scripts, with every TAB: it imports as little as a component."""
COMMANDS = (
    *("up", "down", "ps", "status", "top", "explain", "logs", "events", "attach"),
    *("restart", "stop", "start", "scale", "apply"),
    *("init", "plan", "topology", "doctor", "chat", "bench", "replay", "pull", "completions"),
)


def run(argv: list[str]) -> int:
    """Run one command line; returns the exit code. Every DynamoError becomes its one line on stderr."""
    streams.make_usable()
    if os.environ.get("HOME") == "":
        del os.environ["HOME"]  # or ~ is taken for /
    try:
        code = _dispatch(argv)
        sys.stdout.flush()
        return code
    except DynamoError as error:
        print(error if error.code == "topology" else f"dynamo: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        streams.drop_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        streams.drop_output()
        print(f"dynamo: {error.filename or 'cannot write'}: {error.strerror}", file=sys.stderr)
        return ResourceMissing.exit_code
    except RuntimeError as error:
        if "home directory" not in str(error):
            raise
        print("dynamo: there is no home directory; set HOME, or DYNAMO_HOME and XDG_CACHE_HOME", file=sys.stderr)
        return UsageError.exit_code


def _dispatch(argv: list[str]) -> int:
    if argv and argv[0] == COMPLETE:
        from dynamo_cli.cli.completion.answer import main

        return main(argv[1:])
    if argv and argv[0] in COMPONENTS:
        module, preset = COMPONENTS[argv[0]]
        return int(importlib.import_module(module).main([*preset, *argv[1:]]) or 0)
    _check_command(argv)
    return _run_command(argv)


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
        wanted = (argv[0],) if argv and argv[0] in COMMANDS else COMMANDS
        return int(build_app(wanted)(argv or ["--help"], prog_name="dynamo", standalone_mode=False) or 0)
    except typer.Abort:
        return 128 + signal.SIGINT
    except SystemExit as end:
        # click's answer to a reader that has gone, where output was flushed within a command
        raise end.__context__ if isinstance(end.__context__, BrokenPipeError) else end from None
    except Exception as error:
        # click's usage errors; by their method, because typer ships click under a name of its own since 0.26
        if not hasattr(error, "format_message"):
            raise
        print(f"dynamo: {_usage_line(error)}", file=sys.stderr)
        return 2


def _usage_line(error: Any) -> str:
    """What click says, its first letters small as in all our lines, and the nearest option or where to read on."""
    near = getattr(error, "possibilities", None)
    if near:
        return f"no such option {error.option_name}; did you mean {near[0]}?"
    what, colon, why = " ".join(error.format_message().split()).rstrip(".").partition(": ")
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "dynamo"
    return f"{what[:1].lower()}{what[1:]}{colon}{why[:1].lower()}{why[1:]}; try {command} --help"


def build_app(commands: Collection[str] = COMMANDS) -> typer.Typer:
    """The commands for people, as `dynamo --help` lists them; `commands` are registered, all or the one that runs."""
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

    for name in commands:
        importlib.import_module(f"dynamo_cli.cli.{name}").register(app)
    return app
