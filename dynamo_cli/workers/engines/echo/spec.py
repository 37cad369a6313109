"""The echo engine: says what was said. It needs no model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from dynamo_cli.workers.engines.base import EngineLaunch, EngineOptions, EngineSpec

if TYPE_CHECKING:
    from dynamo_cli.workers.engine import Engine


class EchoOptions(EngineOptions, frozen=True, kw_only=True):
    """`delay_ms`: pause before each piece; without it DYN_TOKEN_ECHO_DELAY_MS counts, else 0."""

    delay_ms: Annotated[float, Meta(ge=0)] | None = None


class EchoSpec(EngineSpec):
    name = "echo"
    summary = "streams the last user message back; no model"
    options_type = EchoOptions
    needs_model = False
    takes_text = True

    def available(self) -> str | None:
        return None

    def create(self, launch: EngineLaunch) -> Engine:
        from dynamo_cli.workers.engines.arguments import with_args
        from dynamo_cli.workers.engines.echo.engine import EchoEngine

        return EchoEngine(with_args(launch.options or EchoOptions(), launch.args, self.name))
