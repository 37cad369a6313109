"""Starts llama.cpp's process on a private unix socket, ends it, and says how it died."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys

import msgspec

from dynamo_cli.errors import EngineFailed, UsageError
from dynamo_cli.workers.engines.last_lines import LastLines, how_it_ended
from dynamo_cli.workers.engines.llamacpp.child import ChildConfig
from dynamo_cli.workers.engines.llamacpp.flags import Settings
from dynamo_cli.workers.engines.llamacpp.state_file import StateFiles
from dynamo_cli.workers.engines.private import PrivateDirectory

_CHILD = "dynamo_cli.workers.engines.llamacpp.child"


class LlamaProcess:
    """`socket` lies in a directory of mode 0700 and answers only to `key`."""

    def __init__(self, model: str, settings: Settings, runtime_dir: str, *, saves: bool = False) -> None:
        """`saves`: the state of its slots can be written to `files`, and read from there."""
        self.key = secrets.token_hex(16)
        self.socket = ""
        self._model = model
        self._settings = settings
        self._runtime_dir = runtime_dir
        self._saves = saves
        self.files: StateFiles | None = None
        self._directory: PrivateDirectory | None = None
        self._lines: LastLines | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Return when the model is loaded. Raises EngineFailed when it cannot be, UsageError for a wrong setting."""
        directory = self._directory = PrivateDirectory(self._runtime_dir, "llama")
        self.socket = os.path.join(directory.path, "engine.sock")
        self._lines = LastLines()
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", _CHILD, stdin=pipe, stdout=pipe, stderr=self._lines.writing
        )
        self._lines.started()
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        settings = self._settings
        if self._saves:
            self.files = StateFiles(directory.path)
            settings = settings | {"slot_save_path": self.files.path}
        config = ChildConfig(self._model, self.socket, self.key, os.getpid(), settings)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            stdin.write(msgspec.json.encode(config) + b"\n")
            await stdin.drain()
        answer = (await stdout.readline()).decode().strip()
        if answer != "ready":
            raise await self._start_failure(answer)

    async def _start_failure(self, answer: str) -> EngineFailed | UsageError:
        if "llama.cpp has no" in answer:
            return UsageError(f"engine llamacpp: {answer.removeprefix('error: ')}")
        if "check the input params" in answer:
            return EngineFailed(f"llama.cpp cannot load {self._model}; its own lines above say why")
        why = answer.removeprefix("error: ") or await self.died()
        return EngineFailed(f"llama.cpp cannot load {self._model}: {why.rstrip('.')}; its own lines above say more")

    async def died(self) -> str:
        """Wait for the process to end; how it ended, in words."""
        if self._process is None or self._lines is None:
            return "it was never started"
        code = await self._process.wait()
        return how_it_ended("llama.cpp", code, await asyncio.to_thread(self._lines.ended))

    async def stop(self) -> None:
        """Idempotent. Nothing of it is worth waiting for."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            if process.stdin is not None:
                process.stdin.close()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    await process.stdin.wait_closed()
        if self._directory is not None:
            self._directory.remove()
