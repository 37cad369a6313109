"""`python -m dynamo_cli.runtime.flags.page`: docs/flags.md, made of the tables."""

from __future__ import annotations

import sys

from dynamo_cli.runtime.flags.flag import OFF, ON, Flag
from dynamo_cli.runtime.flags.frontend import FRONTEND
from dynamo_cli.runtime.flags.router import OF_FRONTENDS, OF_THE_PROCESS, ROUTER
from dynamo_cli.runtime.flags.shared import SHARED
from dynamo_cli.runtime.flags.worker import WORKER

_HEAD = """\
# Flags and variables of NVIDIA Dynamo

<!-- made by `make flags` -->

What becomes here of the options of NVIDIA Dynamo 1.6.1 and of its older names. A flag counts more than its variable,
that more than the default. A refused flag ends the component with exit code 2 and a line that says why and what to do
instead; a refused variable is a warning in its log, or such an error where it says so. *But for*: what asks for nothing
else than what is so anyway is accepted. `dynamo frontend --help` and that of `router` and `worker`
list the options that there are besides.
"""
_SECTIONS = {
    "Frontend": ("", FRONTEND),
    "Router": ("Options of `dynamo frontend` and of `dynamo router`. Workers refuse them.\n", ROUTER),
    "Router of a frontend": ("Options of `dynamo frontend` alone.\n", OF_FRONTENDS),
    "Router process": ("Options of `dynamo router` alone.\n", OF_THE_PROCESS),
    "All of them": ("", SHARED),
    "Workers": ("", WORKER),
}
_SIDES: dict[tuple[str, ...], str] = {ON: "on", OFF: "off"}


def page() -> str:
    return _HEAD + "".join(_section(title, words, flags) for title, (words, flags) in _SECTIONS.items())


def _section(title: str, words: str, flags: tuple[Flag, ...]) -> str:
    rows = "".join(map(_row, flags))
    return f"\n## {title}\n\n{words}{words and chr(10)}| flag | variable | state | note |\n|---|---|---|---|\n{rows}"


def _row(flag: Flag) -> str:
    return f"| {_code(_listed(flag))} | {_code(flag.variables)} | {_state(flag)} | {flag.reason or flag.note} |\n"


def _listed(flag: Flag) -> list[str]:
    """Both spellings of a switch as one."""
    negative = {name for name in flag.names if flag.switch and name.startswith("--no-")}
    return [
        f"--[no-]{name[2:]}" if f"--no-{name[2:]}" in negative else name for name in flag.names if name not in negative
    ]


def _state(flag: Flag) -> str:
    if flag.of:
        return f"alias of `{flag.of}`"
    if flag.reason is None:
        return "supported"
    words = _SIDES.get(flag.harmless) or _code(flag.harmless)
    return "".join(
        ("refused", f", but for {words}" if flag.harmless else "", "; the variable is an error" if flag.strict else "")
    )


def _code(words: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"`{word}`" for word in words)


if __name__ == "__main__":
    sys.stdout.write(page())
