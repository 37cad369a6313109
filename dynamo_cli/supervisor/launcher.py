"""From a process spec to a running child: environment, descriptors, a pipe to the log keeper, and word to the guard."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from dynamo_cli.logs.keeping import LogKeeper, rotation
from dynamo_cli.runtime.logs import engine_levels
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.supervisor import guard, spawn
from dynamo_cli.supervisor.spawn import Child
from dynamo_cli.topology.process import ProcessSpec


class Launcher:
    """Starts the children of one deployment. `listen_fd` is the public listening socket, None without frontends.

    `guarded`: a guard ends them when we are gone; with `dies_with_us` the kernel does, too, whatever comes later.
    `outputs`: the reading ends of what its living children write to, None when it has none yet.
    """

    def __init__(
        self,
        paths: DeploymentPaths,
        deployment_id: str,
        *,
        home: Path,
        listen_fd: int | None,
        guarded: bool,
        dies_with_us: bool,
        environ: Mapping[str, str] = os.environ,
        outputs: Mapping[str, int] | None = None,
    ) -> None:
        self._paths = paths
        self._listen_fd = listen_fd
        self._dies_with_us = dies_with_us
        self.inherited = {
            **environ,
            **engine_levels(environ),
            "PYTHONUNBUFFERED": "1",
            "DYN_DISCOVERY_BACKEND": "file",
            "DYN_FILE_KV": str(paths.discovery),
        }
        self._marks = {
            "DYNAMO_HOME": str(home),
            "DYNAMO_DEPLOYMENT": paths.deployment,
            "DYNAMO_DEPLOYMENT_ID": deployment_id,
        }
        self._guard = Guard(deployment_id) if guarded else None
        self.logs = LogKeeper(paths.logs, home, rotation(environ), paths.keeper_door, outputs)

    def start(self, spec: ProcessSpec) -> Child:
        """Start one incarnation; its output goes to its log file. OSError when it cannot be started."""
        output = self.logs.pipe(spec.name)
        try:
            child = spawn.start(
                self.command(spec),
                {**self.inherited, **self.added(spec)},
                cwd=spec.cwd,
                output=output,
                pass_fds=() if self._listen_fd is None or not spec.inherits_listener else (self._listen_fd,),
                dies_with_us=self._dies_with_us,
            )
        finally:
            os.close(output)
        if self._guard:
            self._guard.tell("+", child)
        return child

    def command(self, spec: ProcessSpec) -> list[str]:
        """The words it is started with."""
        passed = self._listen_fd if spec.inherits_listener else None
        return [word.replace("{listen_fd}", str(passed)) for word in spec.argv]

    def added(self, spec: ProcessSpec) -> dict[str, str]:
        """The variables that only its processes have."""
        generation = {"DYNAMO_GENERATION": str(spec.generation)} if spec.generation else {}
        return {**spec.env, **self._marks, "DYNAMO_SERVICE": spec.name, **generation}

    def ended(self, spec: ProcessSpec, child: Child) -> None:
        """Its group has been swept: the guard forgets it, and nobody writes to its log any more."""
        self.logs.ended(spec.name)
        if self._guard:
            self._guard.tell("-", child)

    @property
    def own_pids(self) -> set[int]:
        return self.logs.pids | ({self._guard.pid} if self._guard else set())

    def unguard(self) -> None:
        """They are to go on when we are gone."""
        if self._guard:
            self._guard.close()
            self._guard = None

    def close(self) -> None:
        """Nothing runs any more."""
        self.logs.close()
        self.unguard()


class Guard:
    """The supervisor's end of the pipe to the guard process."""

    def __init__(self, deployment_id: str) -> None:
        flags = ["-S", "-E"] if sys.platform == "linux" else ["-E"]
        self._process = subprocess.Popen(
            [sys.executable, *flags, guard.__file__, deployment_id],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, sign: str, child: Child) -> None:
        self._write(f"{sign} {child.id.pid} {child.id.start}\n")

    def close(self) -> None:
        """Nothing is to be guarded any more."""
        self._write("done\n")
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        self._process.wait()

    def _write(self, words: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(words.encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            return
