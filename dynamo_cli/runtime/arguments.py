"""The command line of a component, whose mistakes are one line like all others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from dynamo_cli import __version__
from dynamo_cli.errors import UsageError
from dynamo_cli.runtime.flags.flag import Flag
from dynamo_cli.runtime.flags.refusal import refuse_flags


class ComponentParser(argparse.ArgumentParser):
    """`ArgumentParser` without abbreviations that raises UsageError instead of printing its usage.

    It refuses those of `flags` that it has no argument for and that are refused there.
    """

    def __init__(self, prog: str, description: str | None = None, flags: Sequence[Flag] = ()) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)
        self._flags = flags
        self.add_argument("--version", action="version", version=f"dynamo {__version__}", help="print the version")

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        words = sys.argv[1:] if args is None else args
        refuse_flags(self, self._flags, words)
        return super().parse_known_args(words, namespace)

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self._refuse_unknown(unknown[0].partition("=")[0])
        return parsed

    def error(self, message: str) -> NoReturn:
        words = message.removeprefix("argument ")
        raise UsageError(f"{words}; try {self.prog} --help")

    def _refuse_unknown(self, word: str) -> NoReturn:
        if not word.startswith("-"):
            self.error(f"unexpected argument {word!r}")
        from difflib import get_close_matches  # for mistakes alone

        near = get_close_matches(word, self._option_string_actions, 1, 0.7)
        if near:
            raise UsageError(f"no such option {word}; did you mean {near[0]}?")
        self.error(f"no such option {word}")
