"""Loaded by schemathesis: requests name a model that is served, mostly."""

from __future__ import annotations

import os
from typing import Any

import schemathesis

SERVED = os.environ["SERVED_MODELS"].split(",")


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """A schema of schemas has no end, and a unit test holds it to the code."""
    raw_schema["components"]["schemas"]["JsonSchema"] = {"type": "object"}


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    for owner in (case.body, case.path_parameters):
        if isinstance(owner, dict) and isinstance(owner.get("model"), str):
            owner["model"] = _served(owner["model"])


def _served(name: str) -> str:
    """One in eight of other names is kept: what nobody serves is asked for, too. A name always becomes the same."""
    at = sum(name.encode("utf-8", "replace")) % 8
    return name if name in SERVED or at == 7 else SERVED[at % len(SERVED)]
