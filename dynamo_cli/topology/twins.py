"""The two names that the processes of one replica take in turns, so that the next can run beside the one it replaces.

`decode-0` is replaced by `decode-0.b`, and that one by `decode-0`: a process keeps its name for all its life, and with
it its socket, its log and its registration, and there are never more than two of each. No pool or service can be called
so.
"""

from __future__ import annotations

MARK = ".b"


def place_of(name: str) -> str:
    """The name of the replica, whichever of the two its process has."""
    return name.removesuffix(MARK)


def twin_of(name: str) -> str:
    """The other name."""
    return place_of(name) if name.endswith(MARK) else name + MARK
