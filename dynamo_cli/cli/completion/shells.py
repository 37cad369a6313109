"""The shells there are completions for, and which one the user has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dynamo_cli.errors import UsageError

SHELLS = ("bash", "zsh", "fish")


def check_shell(name: str) -> str:
    """The name itself; UsageError when there is no script for it."""
    if name in SHELLS:
        return name
    raise UsageError(f"there are no completions for {name}; choose one of {', '.join(SHELLS)}")


def running_shell(environ: Mapping[str, str]) -> str:
    """The one $SHELL names, else the nearest parent process that is one. UsageError when neither is known."""
    named = Path(environ.get("SHELL", "")).name
    if named in SHELLS:
        return named
    import psutil

    try:
        parents = [parent.name().lstrip("-") for parent in psutil.Process().parents()]
    except psutil.Error:
        parents = []
    found = next((name for name in parents if name in SHELLS), None)
    if found is None:
        raise UsageError(f"cannot tell your shell; name one of {', '.join(SHELLS)}")
    return found
