"""What a user's generator looks like, before it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from dynamo_cli.errors import UsageError


def checked(generate: Callable[..., Any], whose: str) -> Callable[..., Any]:
    """`generate` itself; UsageError with its file and line for what is certainly no async generator."""
    if inspect.iscoroutinefunction(generate) or inspect.isgeneratorfunction(generate):
        code = inspect.unwrap(generate).__code__
        place = f"{code.co_filename}:{code.co_firstlineno}"
        raise UsageError(f"{whose}: {place}: {generate.__name__} must be an async generator: async def, and yield")
    return generate


def takes_context(generate: Callable[..., Any]) -> bool:
    """Whether it wants a second argument, or one named context."""
    try:
        parameters = inspect.signature(generate).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    return len([each for each in positional if each.default is each.empty or each.name == "context"]) > 1
