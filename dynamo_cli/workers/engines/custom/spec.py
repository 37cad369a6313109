"""An engine of the user's own: a Python object inside a worker host, or any command, which the plan runs itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, field

from dynamo_cli.errors import UsageError
from dynamo_cli.workers.engines.base import EngineLaunch, EngineOptions, EngineSpec

if TYPE_CHECKING:
    from dynamo_cli.workers.engine import Engine


class CustomOptions(EngineOptions, frozen=True, kw_only=True):
    """`target`: the class or async generator function that generates, as module:name; the module is looked for in the
    working directory first. `args`: keyword arguments for it. `model_name`: the name clients use.

    Or `command`: the argv to run. `endpoint`: namespace.component.endpoint it will serve; "" when it serves none.
    """

    target: str = ""
    args: dict[str, Any] = field(default_factory=dict)
    model_name: str = ""
    command: Annotated[list[str], Meta(min_length=1)] | None = None
    endpoint: str = ""

    def checked(self) -> CustomOptions:
        """Raises UsageError unless it is either a target or a command, with what belongs to that."""
        if not self.target and self.command is None:
            raise UsageError('this engine needs target = "module:Class" or command = ["program"]')
        if self.target and self.command is not None:
            raise UsageError("there are both target and command; keep one of them")
        if self.target and self.endpoint:
            raise UsageError("endpoint belongs to command; a target serves the endpoint of its worker")
        if self.command is not None and (self.args or self.model_name):
            raise UsageError("args and model_name belong to target; write the arguments into command")
        module, _, name = self.target.partition(":")
        if self.target and not (name and all(part.isidentifier() for part in [*module.split("."), *name.split(".")])):
            raise UsageError(f'target "{self.target}" is not of the form module:Class')
        return self


class CustomSpec(EngineSpec):
    name = "custom"
    summary = "your own: options.target, a Python class or function, or options.command, any process"
    options_type = CustomOptions
    needs_model = False

    def available(self) -> str | None:
        return None

    def reads_model(self, options: Mapping[str, Any]) -> bool:
        return not options.get("command")

    def create(self, launch: EngineLaunch) -> Engine:
        """Raises UsageError or EngineMissing with the place in the user's file."""
        from dynamo_cli.workers.engines.arguments import with_args

        options = with_args(launch.options or CustomOptions(), launch.args, self.name)
        try:
            options.checked()
        except UsageError as error:
            raise UsageError(f"engine custom: {error}") from None
        if not options.target:
            raise UsageError("engine custom: a command runs from a topology; `dynamo worker` takes a target")
        from dynamo_cli.workers.engines.custom.target import create_engine

        return create_engine(options, launch)
