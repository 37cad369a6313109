"""The command line of `dynamo worker`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from dynamo_cli.errors import UsageError
from dynamo_cli.runtime.arguments import ComponentParser
from dynamo_cli.runtime.config import RuntimeConfig, add_runtime_arguments
from dynamo_cli.runtime.flags.shared import SHARED
from dynamo_cli.runtime.flags.worker import ROUTERS, WORKER
from dynamo_cli.workers.limit import DEFAULT_QUEUE

DEFAULT_GRACE_S = 30.0
FLAGS = (*WORKER, *SHARED, *ROUTERS)


@dataclass(frozen=True)
class WorkerArguments:
    """`model`: a name or a path, "" for the default. `endpoint` "" means <namespace>.backend.generate.

    `engine_args` go to the engine untouched. `grace_s`: how long running requests may go on after SIGTERM.
    `request_limit`: requests the engine is given at a time, None for any number; `request_queue` more may wait then.
    """

    runtime: RuntimeConfig
    engine: str = "auto"
    model: str = ""
    model_name: str = ""
    endpoint: str = ""
    options: Any = None
    tensor_parallel: int = 1
    engine_args: tuple[str, ...] = ()
    grace_s: float = DEFAULT_GRACE_S
    request_limit: int | None = None
    request_queue: int = DEFAULT_QUEUE

    @property
    def endpoint_name(self) -> str:
        return self.endpoint or f"{self.runtime.namespace}.backend.generate"


def parse_arguments(argv: list[str], environ: Mapping[str, str] = os.environ) -> WorkerArguments:
    """What is unknown here, and all after `--`, is the engine's. Raises UsageError."""
    mine, engine_args = _split(argv)
    parsed, unknown = _parser().parse_known_args(mine)
    return WorkerArguments(
        runtime=RuntimeConfig.from_args(parsed, environ),
        engine=parsed.engine,
        model=parsed.model,
        model_name=parsed.model_name,
        endpoint=parsed.endpoint or environ.get("DYN_ENDPOINT", ""),
        options=_json(parsed.options),
        tensor_parallel=parsed.tensor_parallel,
        engine_args=(*unknown, *engine_args),
        grace_s=_seconds(environ, "DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT", DEFAULT_GRACE_S),
        request_limit=_request_limit(parsed.engine_request_limit, environ),
        request_queue=_request_queue(environ),
    )


def _parser() -> argparse.ArgumentParser:
    parser = ComponentParser(
        "dynamo worker", "One engine replica behind the request plane. Other arguments are handed to the engine.", FLAGS
    )
    parser.add_argument("--engine", default="auto", help="auto, llamacpp, mock or echo")
    parser.add_argument("--model", "--model-path", dest="model", default="", help="a model's name or path")
    parser.add_argument(
        "--model-name", "--served-model-name", dest="model_name", default="", help="the name clients use"
    )
    parser.add_argument("--endpoint", default="", help="namespace.component.endpoint to serve (DYN_ENDPOINT)")
    parser.add_argument("--options", default="{}", metavar="JSON", help="the adapter's own settings")
    parser.add_argument("--tensor-parallel-size", "--tp", dest="tensor_parallel", type=int, default=1, metavar="N")
    parser.add_argument(
        "--engine-request-limit",
        metavar="N",
        help=f"requests the engine is given at a time; {DEFAULT_QUEUE} more wait, the rest is refused "
        "(DYN_ENGINE_REQUEST_LIMIT; default: no limit)",
    )
    add_runtime_arguments(parser)
    return parser


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in argv:
        return argv, []
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]


def _json(text: str) -> Any:
    try:
        options = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise UsageError(f"--options: not valid JSON: {error}") from None
    if not isinstance(options, dict):
        raise UsageError("--options: a JSON object is expected")
    return options


def _request_limit(given: str | None, environ: Mapping[str, str]) -> int | None:
    if given is not None:
        return _whole("--engine-request-limit", given, least=1)
    text = environ.get("DYN_ENGINE_REQUEST_LIMIT")
    return _whole("DYN_ENGINE_REQUEST_LIMIT", text, least=1) if text else None


def _request_queue(environ: Mapping[str, str]) -> int:
    text = environ.get("DYN_DYNAMO_REQUEST_QUEUE_LIMIT")
    return _whole("DYN_DYNAMO_REQUEST_QUEUE_LIMIT", text, least=0) if text else DEFAULT_QUEUE


def _whole(name: str, text: str, least: int) -> int:
    if text.strip().isdecimal() and int(text) >= least:
        return int(text)
    raise UsageError(f"{name} {text!r} is no whole number of at least {least}")


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name)
    if not text:
        return default
    try:
        return max(0.0, float(text))
    except ValueError:
        raise UsageError(f"{name} is {text!r}, not a number of seconds") from None
