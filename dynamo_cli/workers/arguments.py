"""The command line of `dynamo worker`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from dynamo_cli.errors import UsageError
from dynamo_cli.protocol.instance import Role
from dynamo_cli.runtime.arguments import ComponentParser
from dynamo_cli.runtime.config import RuntimeConfig, add_runtime_arguments
from dynamo_cli.runtime.flags.shared import SHARED
from dynamo_cli.runtime.flags.worker import ROUTERS, WORKER
from dynamo_cli.runtime.switches import is_on
from dynamo_cli.workers.canary_options import CanaryOptions, canary_options
from dynamo_cli.workers.limit import DEFAULT_QUEUE
from dynamo_cli.workers.media.options import MediaOptions, media_options
from dynamo_cli.workers.numeric import seconds, whole
from dynamo_cli.workers.roles import add_role_arguments, role_of
from dynamo_cli.workers.system.options import SystemOptions, system_options

DEFAULT_GRACE_S = 30.0
FLAGS = (*WORKER, *SHARED, *ROUTERS)


@dataclass(frozen=True)
class WorkerArguments:
    """`model`: a name or a path, "" for the default. `endpoint` "" means <namespace>.backend.generate, of a worker that
    only prefills <namespace>.prefill.generate.

    `template`: a file used in place of the model's own chat template. `text_input`: the engine gets text, and renders
    and tokenizes itself. `headless`: the engine is the secondary node of another one. `adapters` are loaded at the
    start, path by name. `engine_args` go to the engine untouched. `grace_s`: how long running requests may go on after
    SIGTERM. `request_limit`: requests the engine is given at a time, None for any number; `request_queue` more may wait
    then.
    """

    runtime: RuntimeConfig
    engine: str = "auto"
    model: str = ""
    model_name: str = ""
    template: str = ""
    text_input: bool = False
    role: Role = "aggregated"
    headless: bool = False
    endpoint: str = ""
    options: Any = None
    adapters: Mapping[str, str] = field(default_factory=dict)
    logits_processors: tuple[str, ...] = ()
    tensor_parallel: int = 1
    engine_args: tuple[str, ...] = ()
    grace_s: float = DEFAULT_GRACE_S
    request_limit: int | None = None
    request_queue: int = DEFAULT_QUEUE
    system: SystemOptions = field(default_factory=SystemOptions)
    canary: CanaryOptions = field(default_factory=CanaryOptions)
    media: MediaOptions = field(default_factory=MediaOptions)

    @property
    def endpoint_name(self) -> str:
        component = "prefill" if self.role == "prefill" else "backend"
        return self.endpoint or f"{self.runtime.namespace}.{component}.generate"


def parse_arguments(argv: list[str], environ: Mapping[str, str] = os.environ) -> WorkerArguments:
    """What is unknown here, and all after `--`, is the engine's. Raises UsageError."""
    mine, engine_args = _split(argv)
    parsed, unknown = _parser().parse_known_args(mine)
    return WorkerArguments(
        runtime=RuntimeConfig.from_args(parsed, environ),
        engine=parsed.engine,
        model=parsed.model,
        model_name=parsed.model_name,
        template=parsed.template or environ.get("DYN_CUSTOM_JINJA_TEMPLATE", ""),
        text_input=_switch(parsed.text_input, environ, "DYN_VLLM_USE_TOKENIZER", "DYN_SGL_USE_TOKENIZER"),
        role=role_of(parsed, environ),
        headless=_switch(parsed.headless, environ, "DYN_VLLM_HEADLESS"),
        endpoint=parsed.endpoint or environ.get("DYN_ENDPOINT", ""),
        options=_json(parsed.options),
        adapters=_adapters(parsed.adapters),
        logits_processors=_import_paths(parsed.logits_processors),
        tensor_parallel=parsed.tensor_parallel,
        engine_args=(*unknown, *engine_args),
        grace_s=seconds(environ, "DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT", DEFAULT_GRACE_S),
        request_limit=_request_limit(parsed.engine_request_limit, environ),
        request_queue=_request_queue(environ),
        system=system_options(environ),
        canary=canary_options(parsed.health_check_payload, environ),
        media=media_options(environ),
    )


def _parser() -> argparse.ArgumentParser:
    parser = ComponentParser(
        "dynamo worker", "One engine replica behind the request plane. Other arguments are handed to the engine.", FLAGS
    )
    parser.add_argument("--engine", default="auto", help="auto, llamacpp, vllm, mock, echo or custom")
    parser.add_argument("--model", "--model-path", dest="model", default="", help="a model's name or path")
    parser.add_argument(
        "--model-name", "--served-model-name", dest="model_name", default="", help="the name clients use"
    )
    parser.add_argument("--endpoint", default="", help="namespace.component.endpoint to serve (DYN_ENDPOINT)")
    parser.add_argument("--options", default="{}", metavar="JSON", help="the adapter's own settings")
    parser.add_argument("--tensor-parallel-size", "--tp", dest="tensor_parallel", type=int, default=1, metavar="N")
    _add_text_arguments(parser)
    parser.add_argument(
        "--adapter",
        dest="adapters",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="LoRA weights to serve from the start as the model NAME; may be given several times",
    )
    parser.add_argument(
        "--logits-processor",
        dest="logits_processors",
        action="append",
        default=[],
        metavar="MODULE:NAME",
        help="a logits processor the engine imports; may be given several times",
    )
    add_role_arguments(parser)
    parser.add_argument(
        "--headless",
        action=argparse.BooleanOptionalAction,
        help="a secondary node: the engine alone, nothing is served",
    )
    parser.add_argument(
        "--health-check-payload",
        metavar="JSON",
        help="what an idle engine is asked for, or @FILE (DYN_HEALTH_CHECK_PAYLOAD)",
    )
    parser.add_argument(
        "--engine-request-limit",
        metavar="N",
        help=f"requests the engine is given at a time; {DEFAULT_QUEUE} more wait, the rest is refused "
        "(DYN_ENGINE_REQUEST_LIMIT; default: no limit)",
    )
    add_runtime_arguments(parser)
    return parser


def _add_text_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--custom-jinja-template",
        dest="template",
        default="",
        metavar="FILE",
        help="a chat template in place of the model's own (DYN_CUSTOM_JINJA_TEMPLATE)",
    )
    parser.add_argument(
        "--text-input",
        "--use-vllm-tokenizer",
        "--use-sglang-tokenizer",
        dest="text_input",
        action=argparse.BooleanOptionalAction,
        help="the engine gets messages and prompts as text, and tokenizes them itself",
    )


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in argv:
        return argv, []
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]


def _switch(given: bool | None, environ: Mapping[str, str], *variables: str) -> bool:
    return given if given is not None else any(is_on(variable, environ) for variable in variables)


def _json(text: str) -> Any:
    try:
        options = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise UsageError(f"--options: not valid JSON: {error}") from None
    if not isinstance(options, dict):
        raise UsageError("--options: a JSON object is expected")
    return options


def _adapters(words: Sequence[str]) -> dict[str, str]:
    adapters: dict[str, str] = {}
    for word in words:
        name, _, path = word.partition("=")
        if not name or not path:
            raise UsageError(f"--adapter {word!r}: want NAME=PATH")
        if name in adapters:
            raise UsageError(f"--adapter {name} is given twice")
        adapters[name] = path
    return adapters


def _import_paths(words: Sequence[str]) -> tuple[str, ...]:
    for word in words:
        module, colon, name = word.partition(":")
        if not colon or not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
            raise UsageError(f"--logits-processor {word!r}: want MODULE:NAME, such as my_package.processors:NoDigits")
    return tuple(words)


def _request_limit(given: str | None, environ: Mapping[str, str]) -> int | None:
    if given is not None:
        return whole("--engine-request-limit", given, least=1)
    text = environ.get("DYN_ENGINE_REQUEST_LIMIT")
    return whole("DYN_ENGINE_REQUEST_LIMIT", text, least=1) if text else None


def _request_queue(environ: Mapping[str, str]) -> int:
    text = environ.get("DYN_DYNAMO_REQUEST_QUEUE_LIMIT")
    return whole("DYN_DYNAMO_REQUEST_QUEUE_LIMIT", text, least=0) if text else DEFAULT_QUEUE
