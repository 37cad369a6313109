'''A message may be several lines: a trailing backslash goes on, """ opens and closes a block.'''

from __future__ import annotations

from collections.abc import Callable

PROMPT, MORE = "> ", "| "
QUOTE = '"""'


def read_message(read: Callable[[str], str]) -> str:
    """The next message, without blanks around it. `read` takes a prompt; EOFError at the end."""
    line = read(PROMPT)
    if line.lstrip().startswith(QUOTE):
        return _block(line.lstrip()[len(QUOTE) :], read)
    lines = [line]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1][:-1]
        lines.append(read(MORE))
    return "\n".join(lines).strip()


def _block(line: str, read: Callable[[str], str]) -> str:
    lines = [line]
    while not lines[-1].rstrip().endswith(QUOTE):
        lines.append(read(MORE))
    lines[-1] = lines[-1].rstrip()[: -len(QUOTE)]
    return "\n".join(lines).strip()
