"""Where in the user's files an error came from."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

import dynamo_cli

_PATHS = sysconfig.get_paths()
_NOT_THEIRS = (str(Path(dynamo_cli.__file__).parent), *(_PATHS[key] for key in ("stdlib", "platstdlib")), "<frozen")
_INSTALLED = tuple(_PATHS[key] for key in ("purelib", "platlib"))


def described(error: BaseException) -> str:
    """`file:line: Type: message` in one line; the innermost line of a file that is not the system's or ours."""
    if isinstance(error, SyntaxError):
        place, what = f"{error.filename}:{error.lineno}: ", error.msg
    else:
        place, what = _place(error), str(error).strip().split("\n", 1)[0]
    return f"{place}{type(error).__name__}{': ' if what else ''}{what}"


def _place(error: BaseException) -> str:
    frames = [
        (frame.filename, frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(_INSTALLED) or not frame.filename.startswith(_NOT_THEIRS)
    ]
    own = [frame for frame in frames if not frame[0].startswith(_INSTALLED)]
    for file, line in reversed(own or frames):
        return f"{file}:{line}: "
    return ""
