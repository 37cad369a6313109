"""vLLM asked in its own process, with nothing of ours around it: what `make bench-engine` compares with.

`python -m dynamo_cli.workers.engines.vllm.direct MODEL [argument …]` loads the model and writes `{}`; then each line of
stdin is a Task as JSON and is answered with a line, its Done, when all its requests are.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sys
import tempfile
import time
from typing import Any

import msgspec

from dynamo_cli.workers.engines import registry
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.engines.vllm.arguments import engine_arguments
from dynamo_cli.workers.engines.vllm.build import is_cpu_build
from dynamo_cli.workers.engines.vllm.environment import prepare
from dynamo_cli.workers.model import prepare_model, readable

SOME_TOKENS = range(1_000, 30_000)


class Task(msgspec.Struct, frozen=True):
    """`requests` prompts of `prompt_tokens` each, no two alike, `concurrency` at a time, `max_tokens` answered each."""

    requests: int
    concurrency: int
    prompt_tokens: int
    max_tokens: int
    seed: int


class Done(msgspec.Struct, frozen=True):
    tokens: int
    duration_s: float


def main() -> None:
    model = readable(prepare_model(sys.argv[1]), registry.spec("vllm"))
    with tempfile.TemporaryDirectory(prefix="dyn-") as directory:
        prepare(os.environ, directory, "", on_cpu=is_cpu_build())
        launch = EngineLaunch(model_name=model.name, model_path=str(model.path), args=tuple(sys.argv[2:]))
        asyncio.run(_serve(engine_arguments(launch, on_cpu=is_cpu_build(), events_endpoint="")))


async def _serve(arguments: Any) -> None:
    from vllm.v1.engine.async_llm import AsyncLLM

    engine = AsyncLLM.from_engine_args(arguments)
    try:
        _say({})
        while line := await asyncio.to_thread(sys.stdin.readline):
            _say(await _run(engine, msgspec.json.decode(line, type=Task)))
    finally:
        engine.shutdown()


async def _run(engine: Any, task: Task) -> Done:
    rng = random.Random(task.seed)
    prompts = iter([rng.choices(SOME_TOKENS, k=task.prompt_tokens) for _ in range(task.requests)])
    began = time.perf_counter()
    counts = await asyncio.gather(*(_stream_of(engine, prompts, task.max_tokens) for _ in range(task.concurrency)))
    return Done(sum(counts), time.perf_counter() - began)


_numbers = itertools.count()


async def _stream_of(engine: Any, prompts: Any, max_tokens: int) -> int:
    """One client: the next prompt when the one before is answered."""
    from vllm.sampling_params import RequestOutputKind, SamplingParams

    asked = SamplingParams(
        max_tokens=max_tokens, temperature=0.0, ignore_eos=True, detokenize=False, output_kind=RequestOutputKind.DELTA
    )
    tokens = 0
    for prompt in prompts:
        async for output in engine.generate({"prompt_token_ids": prompt}, asked, f"direct-{next(_numbers)}"):
            tokens += len(output.outputs[0].token_ids)
    return tokens


def _say(answer: object) -> None:
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
