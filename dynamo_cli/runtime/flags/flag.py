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
        return variable in self.variables or any(
            fnmatchcase(variable, pattern) for pattern in self.variables if "*" in pattern
        )


def supported(*words: str, note: str = "") -> Flag:
    """`words`: flags (`--[no-]X` for a switch) and variables."""
    return _flag(words)._replace(note=note)


def alias(*words: str, of: str, note: str = "") -> Flag:
    """Another name of the supported flag `of`."""
    return _flag(words)._replace(of=of, note=note)


def refused(*words: str, why: Reason, harmless: tuple[str, ...] = (), strict: bool = False) -> Flag:
    return _flag(words)._replace(reason=why, harmless=harmless, strict=strict)


def _flag(words: tuple[str, ...]) -> Flag:
    flags = [word for word in words if word.startswith("-")]
    switch = any("[no-]" in word for word in flags)
    names = [name for word in flags for name in _spellings(word)]
    return Flag(tuple(names), tuple(word for word in words if not word.startswith("-")), switch)


def _spellings(word: str) -> tuple[str, ...]:
    return (word.replace("[no-]", ""), word.replace("[no-]", "no-")) if "[no-]" in word else (word,)
