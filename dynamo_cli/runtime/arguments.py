"""The command line of a component, whose mistakes are one line like all others."""

from __future__ import annotations

import argparse
from typing import NoReturn

from dynamo_cli.errors import UsageError


class ComponentParser(argparse.ArgumentParser):
    """`ArgumentParser` without abbreviations that raises UsageError instead of printing its usage."""

    def __init__(self, prog: str, description: str | None = None) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        words = message.removeprefix("argument ")
        raise UsageError(f"{words}; try {self.prog} --help")
