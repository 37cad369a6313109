"""`dynamo __complete KIND CURRENT [WORD...]`: the values of a kind, one a line, each with a tab and what it is.

CURRENT is the value as far as it is typed, the WORDs are those between `dynamo` and it. What the value has to begin
with is left to the shell, since some match otherwise. Whatever goes wrong gives no values: this prints into a prompt.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress


def main(argv: list[str]) -> int:
    """Always 0. The script may be older or newer than this: an unknown kind has no values."""
    with suppress(Exception):
        kind, current, *words = argv
        values = {value: about for value, about in _values(kind, current, words) if value and value.isprintable()}
        for value, about in values.items():
            print(f"{value}\t{' '.join(about.split())}".rstrip())
    return 0


def _values(kind: str, current: str, words: list[str]) -> Iterable[tuple[str, str]]:
    if kind in ("part", "setting"):
        from dynamo_cli.cli.completion import in_topology

        return in_topology.parts(words) if kind == "part" else in_topology.settings(current, words)
    if kind == "model":
        from dynamo_cli.cli.completion.models import models

        return models()
    from dynamo_cli.cli.completion import in_deployments

    return in_deployments.VALUES[kind](words)
