"""What an environment variable switches on or off, named as the reference names them."""

from __future__ import annotations

from collections.abc import Mapping


def is_on(variable: str, environ: Mapping[str, str]) -> bool:
    return environ.get(variable, "").strip().lower() in ("1", "true", "yes", "on")
