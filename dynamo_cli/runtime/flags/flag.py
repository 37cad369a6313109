"""What becomes of one option of the reference: it works, it is another name of one that does, or it is refused."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import NamedTuple

ON = ("1", "true", "yes", "on")
OFF = ("0", "false", "no", "off")


class Reason(NamedTuple):
    """Why an option does nothing here, as a sentence about today, and what to do instead of it."""

    why: str
    instead: str

    def __str__(self) -> str:
        return f"{self.why}; {self.instead}"


class Flag(NamedTuple):
    """`names` on the command line, the --no- spellings of a switch among them. A variable may hold * for any letters.

    `of`: the flag of which it is another name. `reason`: of what is refused, else None. `harmless`: values in small
    letters with which a refused option asks for what is so anyway. `strict`: its variable is an error and no warning,
    because to go on without it would be wrong or unsafe.
    """

    names: tuple[str, ...]
    variables: tuple[str, ...]
    switch: bool = False
    of: str = ""
    note: str = ""
    reason: Reason | None = None
    harmless: tuple[str, ...] = ()
    strict: bool = False

    @property
    def name(self) -> str:
        return (*self.names, *self.variables)[0]

    def is_harmless(self, value: str | None) -> bool:
        return value is not None and value.strip().lower() in self.harmless

    def reads(self, variable: str) -> bool:
        for one in self.variables:
            if one == variable or ("*" in one and fnmatchcase(variable, one)):
                return True
        return False


def supported(*words: str, note: str = "") -> Flag:
    """`words`: flags (`--[no-]X` for a switch) and variables."""
    return Flag(*_names(words), note=note)


def alias(*words: str, of: str, note: str = "") -> Flag:
    """Another name of the supported flag `of`."""
    return Flag(*_names(words), of, note)


def refused(*words: str, why: Reason, harmless: tuple[str, ...] = (), strict: bool = False) -> Flag:
    return Flag(*_names(words), reason=why, harmless=harmless, strict=strict)


def _names(words: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """Flags, variables, and whether it is a switch."""
    flags: list[str] = []
    variables: list[str] = []
    switch = False
    for word in words:
        if not word.startswith("-"):
            variables.append(word)
        elif "[no-]" in word:
            switch = True
            flags += word.replace("[no-]", ""), word.replace("[no-]", "no-")
        else:
            flags.append(word)
    return tuple(flags), tuple(variables), switch
