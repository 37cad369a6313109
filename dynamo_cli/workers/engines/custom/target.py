"""`module:name` -> an engine."""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import os
import sys
from typing import Any

from dynamo_cli.errors import DynamoError, EngineMissing, UsageError
from dynamo_cli.workers.engine import Engine
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.custom.engine import PlainEngine
from dynamo_cli.workers.engines.custom.generator import checked
from dynamo_cli.workers.engines.custom.place import described
from dynamo_cli.workers.engines.custom.spec import CustomOptions

_log = logging.getLogger("dynamo.custom")


def create_engine(options: CustomOptions, launch: EngineLaunch) -> Engine:
    """The target's own Engine, or one around an object with `generate` or an async generator function.

    Raises UsageError, or EngineMissing when the target's module needs a package that is not there.
    """
    found = _find(options.target)
    given = dict(options.args)
    if "launch" in _parameters(found):
        given.setdefault("launch", launch)
    if inspect.isclass(found):
        made = _constructed(found, given, options.target)
        if isinstance(made, Engine):
            return made
        if not callable(getattr(made, "generate", None)):
            raise UsageError(f"target {options.target} has no method generate")
        return PlainEngine(made, checked(made.generate, f"target {options.target}"), launch)
    if not callable(found):
        raise UsageError(f"target {options.target} is neither a class nor a function")
    return PlainEngine(found, functools.partial(checked(found, f"target {options.target}"), **given), launch)


def _find(target: str) -> Any:
    module_name, _, path = target.partition(":")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise UsageError(f"target {target}: there is no module {error.name} in {here} or installed") from None
        _log.debug("importing %s failed", module_name, exc_info=True)
        raise EngineMissing(f"target {target}: {described(error)}; install it beside dynamo") from None
    except DynamoError:
        raise
    except Exception as error:
        _log.debug("importing %s failed", module_name, exc_info=True)
        raise UsageError(f"target {target}: {described(error)}") from None
    for name in path.split("."):
        if not hasattr(found, name):
            raise UsageError(f"target {target}: {getattr(found, '__file__', module_name)} has no {name}")
        found = getattr(found, name)
    return found


def _constructed(found: type, given: dict[str, Any], target: str) -> Any:
    try:
        inspect.signature(found).bind(**given)
    except TypeError as error:
        raise UsageError(f"target {target}: options.args: {error}") from None
    except ValueError:
        _log.debug("%s does not tell its arguments", target)
    try:
        return found(**given)
    except DynamoError:
        raise
    except Exception as error:
        _log.debug("making %s failed", target, exc_info=True)
        raise UsageError(f"target {target}: {described(error)}") from None


def _parameters(found: Any) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(found).parameters)
    except (TypeError, ValueError):
        return ()
