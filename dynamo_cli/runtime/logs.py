"""Log lines of a component: `HH:MM:SS LEVEL name: message` on stderr."""

from __future__ import annotations

import logging
import os
import sys

_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "off": logging.CRITICAL + 1,
}


def configure_logging() -> None:
    """Send the logs of this process to stderr from the level DYN_LOG (info) on. Idempotent."""
    level = _LEVELS.get(os.environ.get("DYN_LOG", "").lower(), logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("asyncio", "httpcore", "httpx"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))
