"""Where a worker's system server listens, by the reference's variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from dynamo_cli.errors import UsageError

PORT_VARIABLE, HOST_VARIABLE = "DYN_SYSTEM_PORT", "DYN_SYSTEM_HOST"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class SystemOptions:
    """`port` None: it listens on the admin socket alone; 0: on any free port."""

    port: int | None = None
    host: str = LOOPBACK


def system_options(environ: Mapping[str, str] = os.environ) -> SystemOptions:
    """Raises UsageError, which names the variable."""
    text = (environ.get(PORT_VARIABLE) or "-1").strip()
    host = environ.get(HOST_VARIABLE) or LOOPBACK
    if text == "-1":
        return SystemOptions(None, host)
    if not text.isdecimal() or int(text) > 65535:
        raise UsageError(f"{PORT_VARIABLE} {text!r} is no port: want 0 to 65535, or -1 for none")
    return SystemOptions(int(text), host)
