"""Any command as a worker: the plan runs it itself, without a worker host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from dynamo_cli.errors import UsageError
from dynamo_cli.workers.engines.base import EngineLaunch, EngineOptions, EngineSpec

if TYPE_CHECKING:
    from dynamo_cli.workers.engine import Engine


class CustomOptions(EngineOptions, frozen=True, kw_only=True):
    """`command`: the argv to run. `endpoint`: namespace.component.endpoint it will serve; "" when it serves none."""

    command: Annotated[list[str], Meta(min_length=1)]
    endpoint: str = ""


class CustomSpec(EngineSpec):
    name = "custom"
    summary = "runs options.command as the process"
    options_type = CustomOptions
    needs_model = False

    def available(self) -> str | None:
        return None

    def create(self, launch: EngineLaunch) -> Engine:
        """Raises UsageError: there is no engine inside a worker host."""
        raise UsageError("engine custom runs from a topology (options.command), not as `dynamo worker`")
