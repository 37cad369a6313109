"""The server and the model of a chat; a deployment that is still loading the model is waited for."""

from __future__ import annotations

import os
import shutil
import sys
import time

from dynamo_cli.bench.target import default_url, find_model, parse_url
from dynamo_cli.chat.screen.display import styled
from dynamo_cli.chat.server import Server
from dynamo_cli.errors import DynamoError, ModelMissing, NotReady, Unauthorized, UsageError
from dynamo_cli.runtime.control import DeploymentStatus, ServiceStatus
from dynamo_cli.supervisor.deployments import running
from dynamo_cli.supervisor.watching import LOOK_S, statuses
from dynamo_cli.topology.words import suggestion

COMING = ("PENDING", "STARTING", "LOADING", "BACKOFF")
KEY_VARIABLE = "OPENAI_API_KEY"


def connect(
    url: str | None, model: str | None, preferred: str | None, api_key: str | None, timeout_s: float
) -> tuple[Server, str]:
    """The server and the model to use: `model`, else `preferred` if it is served, else the only one.

    The key of the environment goes only to a server named by `url`. Raises NotReady, ModelMissing, UsageError.
    """
    key = api_key or (os.environ.get(KEY_VARIABLE) if url else None)
    if key is not None and not (key.isascii() and key.isprintable()):
        whose = parse_url(url).url if url else "the deployment"
        raise UsageError(f"the API key of {whose} holds letters that no key has")
    if url is None:
        await_deployment(model, preferred, timeout_s, api_key)
    address = parse_url(url or default_url())
    server = Server(address, key)
    if model is None and preferred is not None and preferred in server.models():
        model = preferred
    return server, find_model(address, model, server.headers).name


def await_deployment(wanted: str | None, preferred: str | None, timeout_s: float, api_key: str | None = None) -> None:
    """Until the only running deployment serves the model, or cannot any more; says on stderr what it waits for.

    Raises NotReady when time is over, ModelMissing and UsageError for a model it will not serve or not alone,
    UsageError and Unauthorized when it will not speak to us.
    """
    found = running()
    if len(found) != 1:
        return
    deadline = time.monotonic() + timeout_s
    line = _Line()
    try:
        for status in statuses(found[0], LOOK_S):
            model = _meant(status, wanted, preferred)
            if model is None:
                return
            missing = _missing(status, model)
            if not missing and model in _served(status.url, api_key):
                return
            if missing and not any(service.state in COMING for service in missing):
                return
            words = ", ".join(f"{service.name} {service.state}" for service in missing) or "the frontend"
            if time.monotonic() >= deadline:
                raise NotReady(f"{status.deployment} does not serve {model} within {timeout_s:g} s: {words}")
            line.show(
                f"waiting for {model}: {words}", "; ".join(service.reason for service in missing if service.reason)
            )
    finally:
        line.clear()


def _meant(status: DeploymentStatus, wanted: str | None, preferred: str | None) -> str | None:
    """The model to wait for; None when only the server itself can say, as with custom workers."""
    if not status.models or any(service.kind == "worker" and not service.model for service in status.services):
        return None
    if wanted is not None:
        if wanted not in status.models:
            raise ModelMissing(f"{status.deployment} does not serve {wanted}{suggestion(wanted, status.models)}")
        return wanted
    if preferred in status.models:
        return preferred
    if len(status.models) > 1:
        names = ", ".join(status.models)
        raise UsageError(f"{status.deployment} serves several models: {names}; choose one with --model")
    return status.models[0]


def _missing(status: DeploymentStatus, model: str) -> list[ServiceStatus]:
    """What is not there yet: the frontends until one is READY, the model's workers until one is."""
    frontends = [service for service in status.services if service.kind == "frontend"]
    workers = [service for service in status.services if service.model == model]
    groups = [group for group in (frontends, workers) if not any(service.ready for service in group)]
    return [service for group in groups for service in group]


def _served(url: str, api_key: str | None) -> list[str]:
    try:
        return Server(parse_url(url), api_key).models()
    except (UsageError, Unauthorized):
        raise
    except DynamoError:
        return []


class _Line:
    """What is waited for: one line that changes in a terminal, else a line for each change."""

    def __init__(self) -> None:
        self._shown = ""
        self._terminal = styled(sys.stderr)

    def show(self, text: str, details: str) -> None:
        """`details` are for a terminal, where they may change all the time."""
        if self._terminal and details:
            text = f"{text}: {details}"
        if text == self._shown:
            return
        self._shown = text
        if self._terminal:
            text = f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}"
        sys.stderr.write(text if self._terminal else text + "\n")
        sys.stderr.flush()

    def clear(self) -> None:
        if self._shown and self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
