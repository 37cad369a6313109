"""The engine asked directly, in a process that this one starts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

import msgspec

from dynamo_cli.bench.engine.load import Load
from dynamo_cli.errors import EngineFailed


class Answer(msgspec.Struct):
    tokens: int = 0
    duration_s: float = 0.0


class Direct:
    """`pid`: the process that holds the engine's API, without its children."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self.pid = process.pid
        self._stdin, self._stdout = process.stdin, process.stdout

    def ask(self, load: Load, prompt_tokens: int, seed: int) -> Answer:
        """Raises EngineFailed when it has ended."""
        task = {
            "requests": load.requests,
            "concurrency": load.concurrency,
            "prompt_tokens": prompt_tokens,
            "max_tokens": load.osl,
            "seed": seed,
        }
        self._stdin.write(msgspec.json.encode(task).decode() + "\n")
        self._stdin.flush()
        return _next(self._stdout)


@contextmanager
def direct_engine(engine: str, model: str, arguments: Sequence[str]) -> Iterator[Direct]:
    """Loaded and ready, until the end of the block. Raises EngineFailed when it does not start."""
    command = [sys.executable, "-m", f"dynamo_cli.workers.engines.{engine}.direct", model, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            direct = Direct(process)
            _next(direct._stdout)
            yield direct
        finally:
            assert process.stdin is not None
            process.stdin.close()


def _next(lines: IO[str]) -> Answer:
    """The next line that is an answer: engines write to stdout too."""
    for line in lines:
        if line.startswith("{"):
            return msgspec.json.decode(line, type=Answer)
    raise EngineFailed("the engine that was to be asked directly has ended; its last lines are above")
