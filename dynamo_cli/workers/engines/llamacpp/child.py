"""The process llama.cpp runs in: it holds the interpreter while a model loads, and aborts on its own errors.

`python -m dynamo_cli.workers.engines.llamacpp.child` reads one JSON line (`ChildConfig`) from stdin, serves on the
socket, writes `ready` or `error: why` to stdout, and lives until stdin ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from typing import Any

import msgspec

_PR_SET_PDEATHSIG = 1


class ChildConfig(msgspec.Struct):
    """`settings` as in flags.py. `key` is what every request must carry."""

    model: str
    socket: str
    key: str
    parent: int
    settings: dict[str, Any]


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    report = os.dup(1)
    os.dup2(2, 1)
    config = msgspec.json.decode(sys.stdin.buffer.readline(), type=ChildConfig)
    _die_with(config.parent, signal.SIGKILL)
    try:
        server = _serve(config)
    except (RuntimeError, ValueError, TypeError, AttributeError, ImportError) as error:
        os.write(report, f"error: {error}\n".encode())
        os._exit(1)
    _die_with(config.parent, 0)
    os.write(report, b"ready\n")
    sys.stdin.buffer.read()
    shutil.rmtree(os.path.dirname(config.socket), ignore_errors=True)
    # Without the destructor, which would wait for the running batch.
    os._exit(0 if server else 1)


def _serve(config: ChildConfig) -> object:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = config.model
    params.hostnames = [config.socket]
    params.api_keys = [config.key]
    for field, value in config.settings.items():
        owner, _, name = f"params.{field}".rpartition(".")
        target: Any = params
        for part in owner.split(".")[1:]:
            target = getattr(target, part)
        setattr(target, name, _resolved(xllamacpp, value))
    return xllamacpp.Server(params)


def _resolved(xllamacpp: Any, value: Any) -> Any:
    if isinstance(value, str) and value.startswith("enum:"):
        kind, _, member = value.removeprefix("enum:").partition(".")
        found = getattr(getattr(xllamacpp, kind), member, None)
        if found is None:
            raise ValueError(f"llama.cpp has no {member}")
        return found
    return value


def _die_with(parent: int, how: int) -> None:
    """Get the signal `how` (0 for none) when the parent ends: while the model loads nothing watches stdin."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, how)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main()
