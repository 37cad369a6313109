"""Options of the reference that do nothing here are refused in a line, not ignored and not unknown."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterable, Mapping, Sequence

from dynamo_cli.errors import UsageError
from dynamo_cli.runtime.flags.flag import Flag

_log = logging.getLogger("dynamo.flags")
_FAMILIES = ("DYN_", "ETCD_", "NATS_")


def refuse_flags(parser: argparse.ArgumentParser, flags: Iterable[Flag], words: Sequence[str]) -> None:
    """Let `parser` refuse those of `flags` that are among `words`; what it takes itself, it takes."""
    given = {word.partition("=")[0] for word in words if word.startswith("-")}
    for flag in flags:
        if flag.reason is None or given.isdisjoint(flag.names):
            continue
        names = [name for name in flag.names if name not in parser._option_string_actions]
        if names:
            parser.add_argument(*names, action=_Refuse, flag=flag)


def heed_variables(flags: Iterable[Flag], environ: Mapping[str, str] = os.environ) -> None:
    """Warn of each variable that is set and refused; the first of `flags` that has it counts.

    Raises UsageError where going on without it would be wrong.
    """
    left = {name: value for name, value in environ.items() if name.startswith(_FAMILIES) and value}
    for flag in flags if left else ():
        for name in sorted(filter(flag.reads, left)):
            value = left.pop(name)
            if flag.reason is None or flag.is_harmless(value):
                continue
            if flag.strict:
                raise UsageError(f"{name}={value}: {flag.reason}")
            _log.warning("%s has no effect: %s", name, flag.reason)


class _Refuse(argparse.Action):
    def __init__(self, option_strings: list[str], dest: str, flag: Flag) -> None:
        nargs = 0 if flag.switch else "?"
        super().__init__(option_strings, argparse.SUPPRESS, nargs=nargs, default=argparse.SUPPRESS)
        self._flag = flag

    def __call__(self, _parser: object, _namespace: object, values: object, name: str | None = None) -> None:
        option = name or self._flag.name
        given = values if isinstance(values, str) else None
        if self._flag.switch:
            given = "false" if option.startswith("--no-") else "true"
        if not self._flag.is_harmless(given):
            raise UsageError(f"{option}: {self._flag.reason}")
