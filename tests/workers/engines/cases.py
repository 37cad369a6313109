"""The engines under the contract suite, and the same request in each one's own form.

DYN_TEST_ENGINES names optional engines, by commas, that must run: one that cannot fails the suite, one that is not
named is skipped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dynamo_cli.protocol.engine import Delta, EngineRequest, SamplingOptions, StopConditions
from dynamo_cli.protocol.instance import Role
from dynamo_cli.runtime.context import Context
from dynamo_cli.topology.ports import free_ports
from dynamo_cli.workers.engine import Adapter, Engine
from dynamo_cli.workers.engines import registry
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.custom.spec import CustomOptions
from dynamo_cli.workers.engines.echo.spec import EchoOptions
from dynamo_cli.workers.engines.llamacpp.spec import LlamaCppOptions
from dynamo_cli.workers.engines.mock.spec import MockOptions
from dynamo_cli.workers.engines.vllm.spec import VllmOptions
from dynamo_cli.workers.model import PreparedModel, readable
from tests.documented import write_block
from tests.workers.engines.adapters import RANK, write_adapter
from tests.workers.engines.crashes import crash_child, crash_task, crash_theirs

CONTEXT = 512
WORDS = [f"word{n}" for n in range(63)]
NAMED = os.environ.get("DYN_TEST_ENGINES", "").replace(",", " ").split()
"""Read when the tests are collected: a test's own environment has no DYN_*."""


def real(engine: str) -> list[pytest.MarkDecorator]:
    """Marks of tests that start this big engine. What it warns of itself is its own affair."""
    return [
        pytest.mark.skipif(engine not in NAMED, reason=f"set DYN_TEST_ENGINES={engine} to run it"),
        pytest.mark.filterwarnings("ignore"),
        pytest.mark.timeout(600),
    ]


@dataclass
class Case:
    """`takes`: what its requests carry. `id`: of the case, when an engine has several.

    `needs_model`: it is given the default one, in a format it reads. `optional`: it is too big for every run.
    `samples`: it heeds temperature and seed.
    `crash`: makes a started engine die as it can die by itself, without its adapter's doing; None when it cannot.
    `adapter`: makes an adapter it can load in a directory.
    """

    name: str
    takes: str
    options: Any = None
    args: tuple[str, ...] = ()
    needs_model: bool = False
    optional: bool = False
    samples: bool = False
    crash: Callable[[Engine], None] | None = None
    adapter: Callable[[str], Adapter] | None = None
    id: str = ""
    prompt: list[int] = field(default_factory=lambda: [1, 9690, 198, 2683, 359, 253, 5356, 5646])

    def __str__(self) -> str:
        return self.id or self.name

    def missing(self) -> str | None:
        """Why it cannot run here."""
        try:
            return registry.spec(self.name).available()
        except Exception as error:
            return str(error)

    def create(self, model: Callable[[], PreparedModel], runtime_dir: str = "", role: Role = "aggregated") -> Engine:
        """`model` finds the default model."""
        spec = registry.spec(self.name)
        ports = {name: next(free_ports()) for name in spec.ports_of(role)}
        launch: dict[str, Any] = {"model_name": str(self), "runtime_dir": runtime_dir, "role": role, "ports": ports}
        if self.needs_model:
            found = readable(model(), spec)
            launch |= {"model_path": str(found.path), "text_path": found.text_path, "context_length": CONTEXT}
        return spec.create(EngineLaunch(options=self.options, args=self.args, **launch))

    def request(self, max_tokens: int | None = 8, *, salt: int = 0, **stop: Any) -> EngineRequest:
        """Greedy and without an end of sequence, so that exactly `max_tokens` come. `salt` makes prompts differ."""
        request = EngineRequest(
            self.name,
            sampling=SamplingOptions(temperature=0.0),
            stop=StopConditions(max_tokens=max_tokens, ignore_eos=True, **stop),
        )
        if self.takes == "text":
            request.messages = [{"role": "user", "content": " ".join([f"salt{salt}", *WORDS, f"salt{salt}"])}]
        else:
            request.token_ids = [*self.prompt, 300 + salt]
        return request


def documented_parrot() -> CustomOptions:
    """The engine of docs/custom_engine.md as its readers write it down."""
    module = write_block("custom_engine.md", "python", 0, "documented_parrot.py")
    if str(module.parent) not in sys.path:
        sys.path.insert(0, str(module.parent))
    return CustomOptions(target="documented_parrot:Parrot")


VLLM = Case(
    "vllm",
    "tokens",
    VllmOptions(),
    # float32, so that what is computed in another batch is the same; blocks as small as they can be on a CPU; no JSON
    # of blanks alone, which so small a model likes best
    args=("--max-model-len", f"{CONTEXT}", "--dtype", "float32", "--block-size", "32", "--max-num-seqs", "16",
          "--kv-cache-memory-bytes", "256M", "--enable-lora", "--max-loras", "1", "--max-lora-rank", f"{RANK}",
          "--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}'),
    needs_model=True,
    optional=True,
    samples=True,
    crash=crash_child,
    adapter=lambda directory: Adapter("mine", str(write_adapter(Path(directory) / "mine"))),
)  # fmt: skip
CASES = [
    Case("echo", "text", EchoOptions(delay_ms=2)),
    Case(
        "mock",
        "tokens",
        MockOptions(speedup_ratio=4, max_model_len=CONTEXT, num_gpu_blocks=64, max_loras=2),
        crash=crash_task,
        adapter=lambda directory: Adapter("other", directory),
    ),
    Case(
        "llamacpp",
        "tokens",
        LlamaCppOptions(threads=1, max_model_len=CONTEXT),
        needs_model=True,
        samples=True,
        crash=crash_child,
    ),
    Case("custom", "tokens", documented_parrot(), needs_model=True, id="custom-tokens"),
    Case(
        "custom",
        "text",
        CustomOptions(target="tests.workers.engines.theirs:Backwards", args={"delay_s": 0.002}),
        crash=crash_theirs,
        id="custom-text",
    ),
    VLLM,
]


async def collect(engine: Engine, request: EngineRequest, context: Context | None = None) -> list[Delta]:
    return [delta async for delta in engine.generate(request, context or Context())]


def said(deltas: list[Delta]) -> list[int] | list[str]:
    """The tokens, or the pieces of text, of all deltas."""
    texts = [delta.text for delta in deltas if delta.text]
    return texts or [token for delta in deltas for token in delta.token_ids]
