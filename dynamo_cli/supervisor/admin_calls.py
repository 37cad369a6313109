"""One question to the admin socket of a component, or the same to several."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from dynamo_cli.runtime.http.client import request
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.runtime.within import within

PATIENCE_S = 1.0
"""A component that is well answers its admin socket in milliseconds."""


class Told(NamedTuple):
    """`body` as it came; `problem`: why there is none."""

    service: str
    body: bytes = b""
    problem: str = ""


async def call(
    socket: Path, method: str, path: str, body: dict[str, Any] | None, *, timeout_s: float
) -> tuple[int, Any]:
    """Status and what the JSON of the answer says. OSError or TimeoutError when there is none."""
    status, answer = await _call(socket, method, path, body, timeout_s)
    return status, _json(answer)


async def ask_all(
    paths: DeploymentPaths, services: Iterable[str], path: str, patience_s: float = PATIENCE_S
) -> list[Told]:
    """The same question to each, at once."""

    async def ask(service: str) -> Told:
        try:
            status, answer = await _call(paths.admin_socket(service), "GET", path, None, patience_s)
        except asyncio.TimeoutError:
            return Told(service, problem=f"no answer within {patience_s:g} s")
        except OSError:
            return Told(service, problem="its admin socket does not answer")
        return Told(service, answer) if status == 200 else Told(service, problem=f"answers {status}")

    return list(await asyncio.gather(*map(ask, services)))


async def _call(
    socket: Path, method: str, path: str, body: dict[str, Any] | None, timeout_s: float
) -> tuple[int, bytes]:
    headers = {"x-dynamo-probe": "1", "content-type": "application/json"}

    async def whole() -> tuple[int, bytes]:
        encoded = b"" if body is None else msgspec.json.encode(body)
        async with await request(str(socket), method, path, headers=headers, body=encoded) as answer:
            return answer.status, await answer.read()

    return await within(timeout_s, whole())


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")[:200]
