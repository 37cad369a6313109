"""The engines under the contract suite, and the same request in each one's own form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dynamo_cli.protocol.engine import Delta, EngineRequest, SamplingOptions, StopConditions
from dynamo_cli.runtime.context import Context
from dynamo_cli.workers.engine import Engine
from dynamo_cli.workers.engines import registry
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.echo.spec import EchoOptions
from dynamo_cli.workers.engines.llamacpp.spec import LlamaCppOptions
from dynamo_cli.workers.engines.mock.spec import MockOptions
from dynamo_cli.workers.model import PreparedModel

CONTEXT = 512
WORDS = [f"word{n}" for n in range(64)]


@dataclass
class Case:
    """`takes`: what its requests carry."""

    name: str
    takes: str
    options: Any
    needs_model: bool = False
    prompt: list[int] = field(default_factory=lambda: [1, 9690, 198, 2683, 359, 253, 5356, 5646])

    def create(self, model: Callable[[], PreparedModel], runtime_dir: str = "") -> Engine:
        launch: dict[str, Any] = {"model_name": self.name, "options": self.options, "runtime_dir": runtime_dir}
        if self.needs_model:
            found = model()
            launch |= {"model_path": str(found.path), "text_path": found.text_path, "context_length": CONTEXT}
        return registry.spec(self.name).create(EngineLaunch(**launch))

    def request(self, max_tokens: int | None = 8, *, salt: int = 0, **stop: Any) -> EngineRequest:
        """Greedy and without an end of sequence, so that exactly `max_tokens` come. `salt` makes prompts differ."""
        request = EngineRequest(
            self.name,
            sampling=SamplingOptions(temperature=0.0),
            stop=StopConditions(max_tokens=max_tokens, ignore_eos=True, **stop),
        )
        if self.takes == "text":
            request.messages = [{"role": "user", "content": " ".join([f"salt{salt}", *WORDS])}]
        else:
            request.token_ids = [*self.prompt, 300 + salt]
        return request


CASES = [
    Case("echo", "text", EchoOptions(delay_ms=2)),
    Case("mock", "tokens", MockOptions(speedup_ratio=4, max_model_len=CONTEXT, num_gpu_blocks=64)),
    Case("llamacpp", "tokens", LlamaCppOptions(threads=1, max_model_len=CONTEXT), needs_model=True),
]


async def collect(engine: Engine, request: EngineRequest, context: Context | None = None) -> list[Delta]:
    return [delta async for delta in engine.generate(request, context or Context())]


def said(deltas: list[Delta]) -> list[int] | list[str]:
    """The tokens, or the pieces of text, of all deltas."""
    texts = [delta.text for delta in deltas if delta.text]
    return texts or [token for delta in deltas for token in delta.token_ids]
