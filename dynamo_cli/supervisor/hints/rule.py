"""One well-known failure: how its line reads, what it means, what helps."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Failed(NamedTuple):
    """The process that failed. `family`: its engine's, "" when it is not known. `lines`: the last it wrote."""

    family: str = ""
    argv: Sequence[str] = ()
    lines: Sequence[str] = ()

    def value(self, *flags: str) -> str:
        """What the command line gives the first of these flags that is there, "" for none."""
        for flag in flags:
            for i, word in enumerate(self.argv):
                if word == flag and i + 1 < len(self.argv):
                    return self.argv[i + 1]
                if word.startswith(f"{flag}="):
                    return word.removeprefix(f"{flag}=")
        return ""


class Advice(NamedTuple):
    """What happened, and what to do, each a clause of one line."""

    what: str
    do: str

    def __str__(self) -> str:
        return f"{self.what}: {self.do}"


Advise = Callable[[re.Match[str], Failed], Advice]


class Rule(NamedTuple):
    """`example`: a line as the engine writes it, for the test and for the page.

    `consequence`: other processes of an engine write it too when one has failed; any other failure says more.
    """

    name: str
    pattern: re.Pattern[str]
    advise: Advise
    example: str
    family: str = ""
    consequence: bool = False


def rule(
    name: str, pattern: str, advise: Advise | tuple[str, str], example: str, family: str = "", consequence: bool = False
) -> Rule:
    """`advise` is computed from the match, or (what, do) with `{0}` for the first group that matched."""
    if isinstance(advise, tuple):
        advise = _filled(*advise)
    return Rule(name, re.compile(pattern), advise, example, family, consequence)


def _filled(what: str, do: str) -> Advise:
    def advise(match: re.Match[str], failed: Failed) -> Advice:
        found = next((group for group in match.groups() if group), "")
        return Advice(what.replace("{0}", found), do.replace("{0}", found))

    return advise
