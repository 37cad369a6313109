"""A person who reads a page and types its commands one after another into a terminal."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import httpx

from tests.integration.documented import Command
from tests.supervisor.harness import until

PORT = re.compile(r"\b8000\b")
TAKES_OVER = re.compile(r"^(?:\S*/)?(?:make up|dynamo (?:up|frontend|worker|mocker|attach)\b(?! -d\b))")
NEEDS_A_SERVER = re.compile(r"^(?:curl localhost|(?:echo .*\| *)?(?:\S*/)?dynamo (?:chat|bench)\b(?!.*--compare))")
SERVES = re.compile(r"^(?:\S*/)?(?:make up|dynamo (?:up|frontend)\b)")
START_S = 300.0
COMMAND_S = 300.0


class Reader:
    """Commands that go on until Ctrl-C get a terminal of their own and are ended when the next server starts."""

    def __init__(self, directory: Path, programs: Path) -> None:
        self.directory = directory
        self._environ = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(directory),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"),
            "DYN_LLAMACPP_THREADS": "1",
        }
        self._terminals: list[subprocess.Popen[bytes]] = []
        self._port = str(_free_port())

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        subprocess.run(["dynamo", "down", "--all"], env=self._environ, check=False, capture_output=True)

    def free_the_port(self) -> None:
        """In every topology here."""
        for file in self.directory.glob("topologies/*.toml"):
            file.write_text(PORT.sub(self._port, file.read_text()))

    def follow(self, block: Sequence[Command], meanings: Mapping[str, str] = {}) -> None:
        """Type the commands of one block; each must end with 0, and what serves must answer at the end of it."""
        for command in block:
            text = PORT.sub(self._port, command.text)
            for written, meant in meanings.items():
                text = text.replace(written, meant)
            self._type(Command(command.where, text))
        if self._terminals:
            self._await_model(block[-1].where)

    def _type(self, command: Command) -> None:
        if SERVES.match(command.text):
            self._leave()
        if TAKES_OVER.match(command.text):
            self._open(command)
            return
        if NEEDS_A_SERVER.match(command.text):
            self._have_a_server(command.where)
        elif self._terminals:
            self._await_model(command.where)  # a person reads on when it says READY
        environ = (
            {**self._environ, "ARGS": "--collect-only -q"} if command.text.startswith("make test") else self._environ
        )
        done = subprocess.run(
            ["bash", "-c", f"{command.text}\nresult=$?; pwd >&2; exit $result"],
            cwd=self.directory,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
        )
        assert done.returncode == 0, f"{command.where}: {command.text}\n{done.stdout}{done.stderr}"
        self.directory = Path(done.stderr.splitlines()[-1])

    def _open(self, command: Command) -> None:
        environ = {**self._environ, "ARGS": f"--set frontend.port={self._port}"}
        with (self.directory / "terminal").open("ab") as screen:
            self._terminals.append(
                subprocess.Popen(
                    ["bash", "-c", f"exec {command.text}"],
                    cwd=self.directory,
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=screen,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def _leave(self) -> None:
        """Ctrl-C in each terminal."""
        for terminal in self._terminals:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(terminal.pid, signal.SIGINT)
            terminal.wait(30)
        self._terminals.clear()

    def _have_a_server(self, where: str) -> None:
        if not self._terminals and not self._serving():
            self._type(Command(where, "dynamo up -d topologies/mock.toml --set workers.decode.options.speedup_ratio=0"))
        self._await_model(where)

    def _await_model(self, where: str) -> None:
        def serving() -> bool:
            ended = [terminal.args for terminal in self._terminals if terminal.poll() is not None]
            assert not ended, f"{where}: {ended}: {(self.directory / 'terminal').read_text()}"
            return self._serving()

        until(serving, START_S, f"an answer of what {where} starts")

    def _serving(self) -> bool:
        try:
            return bool(httpx.get(f"http://127.0.0.1:{self._port}/v1/models", timeout=5.0).json()["data"])
        except httpx.HTTPError:
            return False


def _free_port() -> int:
    """Below the range from which the kernel takes ports for outgoing connections, such as those of pip."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
