"""Whether an idle engine is asked for a token now and then, and for which."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from dynamo_cli.errors import UsageError
from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.runtime.switches import is_on
from dynamo_cli.workers.numeric import seconds

PAYLOAD_FLAG, PAYLOAD_VARIABLE = "--health-check-payload", "DYN_HEALTH_CHECK_PAYLOAD"
_OURS = {"sampling_options": "sampling", "stop_conditions": "stop", "output_options": "output"}
"""Parts of a request as the reference names them, and as they are named here."""


@dataclass(frozen=True)
class CanaryOptions:
    """An engine that has said nothing for `wait_s` gets a request, and `timeout_s` for its first token.

    `payload` is that request; None is one token after one token.
    """

    enabled: bool = False
    wait_s: float = 10.0
    timeout_s: float = 3.0
    payload: EngineRequest | None = None


def canary_options(payload: str | None, environ: Mapping[str, str] = os.environ) -> CanaryOptions:
    """`payload`: JSON, or @FILE; what --health-check-payload says. Raises UsageError."""
    place, text = (PAYLOAD_FLAG, payload) if payload else (PAYLOAD_VARIABLE, environ.get(PAYLOAD_VARIABLE, "").strip())
    return CanaryOptions(
        enabled=is_on("DYN_HEALTH_CHECK_ENABLED", environ),
        wait_s=max(0.05, seconds(environ, "DYN_CANARY_WAIT_TIME", CanaryOptions.wait_s)),
        timeout_s=max(0.05, seconds(environ, "DYN_HEALTH_CHECK_REQUEST_TIMEOUT", CanaryOptions.timeout_s)),
        payload=_request(place, text) if text else None,
    )


def _request(place: str, text: str) -> EngineRequest:
    try:
        value = msgspec.json.decode(Path(text[1:]).read_bytes() if text.startswith("@") else text)
        if not isinstance(value, dict):
            raise UsageError(f'{place}: want a JSON object, such as {{"token_ids": [1]}}')
        request = msgspec.convert({"model": "", **_without_nulls(value)}, EngineRequest)
    except OSError as error:
        raise UsageError(f"{place} {text}: {error.strerror}") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise UsageError(f"{place}: {error}") from None
    if not request.token_ids and request.prompt is None and request.messages is None:
        raise UsageError(f"{place}: want token_ids, a prompt or messages")
    return request


def _without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    """Under our names; null stands for: as if it were left out."""
    kept = {_OURS.get(name, name): part for name, part in value.items() if part is not None}
    return {
        name: {key: one for key, one in part.items() if one is not None} if isinstance(part, dict) else part
        for name, part in kept.items()
    }
