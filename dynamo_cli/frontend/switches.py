"""Parts of the frontend that an environment variable switches off, named as the reference names them."""

from __future__ import annotations

from collections.abc import Mapping


def is_on(variable: str, environ: Mapping[str, str]) -> bool:
    return environ.get(variable, "").strip().lower() in ("1", "true", "yes", "on")
