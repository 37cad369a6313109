"""Asking whether a process is ready, and whether a model answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from dynamo_cli.protocol.instance import INSTANCES_PREFIX, MODELS_PREFIX, Instance, ModelCard
from dynamo_cli.runtime.control import ModelKind
from dynamo_cli.runtime.discovery.base import Discovery
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.runtime.within import within
from dynamo_cli.supervisor.admin_calls import call
from dynamo_cli.supervisor.outside_probes import Answer, CommandProbes, ask_http, ask_tcp
from dynamo_cli.topology.process import ProcessSpec

HEALTH_TIMEOUT_S = 2.0
TOKEN_TIMEOUT_S = 30.0
KINDS: tuple[ModelKind, ...] = ("embeddings", "chat")
"""Of these a model is what its card says first, else it completes."""
STARTED_S = 0.3
"""A process that only has to be started must still be there after this long."""


class Prober:
    """Asks by admin sockets and discovery; the answers are about now. `kinds`: of the models that have answered."""

    def __init__(self, paths: DeploymentPaths, discovery: Discovery, wrote: Callable[[str, str], bool]) -> None:
        """`wrote(service, pattern)`: whether its current incarnation has written such a line."""
        self._paths = paths
        self._discovery = discovery
        self._wrote = wrote
        self.commands = CommandProbes(paths)
        self.kinds: dict[str, ModelKind] = {}

    async def ready(self, spec: ProcessSpec, uptime_s: float) -> Answer:
        """Whether the process shows that it is ready, in the way its probe says."""
        probe = spec.probe
        if probe.kind == "started":
            return Answer(True) if uptime_s >= STARTED_S else Answer(False, "starting")
        if probe.kind == "endpoint":
            return await self._endpoint(spec)
        if probe.kind == "log":
            wrote = self._wrote(spec.name, probe.pattern)
            return Answer(wrote, "" if wrote else f'has not written "{probe.pattern}" yet')
        if probe.kind == "exec":
            return await self.commands.ask(spec)
        if probe.kind in ("http", "tcp"):
            return await (ask_http(probe.url) if probe.kind == "http" else ask_tcp(probe.port))
        return await self._admin(spec)

    async def alive(self, spec: ProcessSpec, timeout_s: float) -> bool:
        """Whether it answers in time at all; a component that is alive may well not be ready."""
        try:
            if spec.probe.kind == "admin":
                status, _ = await call(self._paths.admin_socket(spec.name), "GET", "/live", None, timeout_s=timeout_s)
                return status == 200
            return (await within(timeout_s, self.ready(spec, STARTED_S))).ready
        except (OSError, asyncio.TimeoutError):
            return False

    async def first_token(self, frontend: str, model: str) -> Answer:
        """Whether the model gives one token through this frontend."""
        kind = await self._kind(model)
        path, body = _shortest_request(kind, model)
        try:
            socket = self._paths.admin_socket(frontend)
            status, answer = await call(socket, "POST", path, body, timeout_s=TOKEN_TIMEOUT_S)
        except (OSError, asyncio.TimeoutError) as error:
            return Answer(False, f"{frontend} does not answer for {model}: {error or 'no answer in time'}")
        if status != 200:
            return Answer(False, f"{model}: {_message(answer, status)}")
        self.kinds[model] = kind
        return Answer(True)

    async def _admin(self, spec: ProcessSpec) -> Answer:
        try:
            status, answer = await call(
                self._paths.admin_socket(spec.name), "GET", "/health", None, timeout_s=HEALTH_TIMEOUT_S
            )
        except FileNotFoundError:
            return Answer(False, "starting")
        except (OSError, asyncio.TimeoutError):
            return Answer(False, "its admin socket does not answer")
        health = answer if isinstance(answer, dict) else {}
        words = str(health.get("reason") or health.get("status") or f"health answers {status}")
        if status == 200:
            return Answer(True)
        return Answer(False, words, health.get("status") == "loading", str(health.get("phase") or ""))

    async def _endpoint(self, spec: ProcessSpec) -> Answer:
        prefix = f"{INSTANCES_PREFIX}{spec.probe.endpoint.replace('.', '/')}/"
        for value in (await self._discovery.get_prefix(prefix)).values():
            try:
                instance = msgspec.msgpack.decode(value, type=Instance)
            except msgspec.DecodeError:
                continue
            if instance.service == spec.name:
                return Answer(True)
        return Answer(False, f"has not registered {spec.probe.endpoint} yet")

    async def _kind(self, model: str) -> ModelKind:
        types = await self._types(model)
        return next((kind for kind in KINDS if kind in types), "completions")

    async def _types(self, model: str) -> tuple[str, ...]:
        for value in (await self._discovery.get_prefix(MODELS_PREFIX)).values():
            try:
                card = msgspec.msgpack.decode(value, type=ModelCard)
            except msgspec.DecodeError:
                continue
            if card.name == model:
                return card.types
        return ("chat",)


def _shortest_request(kind: ModelKind, model: str) -> tuple[str, dict[str, Any]]:
    common = {"model": model, "max_tokens": 1, "temperature": 0}
    if kind == "embeddings":
        return "/v1/embeddings", {"model": model, "input": "Hi"}
    if kind == "chat":
        return "/v1/chat/completions", {**common, "messages": [{"role": "user", "content": "Hi"}]}
    return "/v1/completions", {**common, "prompt": "Hi"}


def _message(answer: Any, status: int) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return str(message or f"answers {status}")
