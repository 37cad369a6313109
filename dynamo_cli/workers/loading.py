"""From a worker's arguments to an engine that has generated a token."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from dynamo_cli.errors import DynamoError, EngineFailed, EngineMissing, UsageError
from dynamo_cli.protocol.instance import HALVES, Instance, ModelCard, ModelIdentity, Role
from dynamo_cli.protocol.media import Scheme
from dynamo_cli.workers.arguments import WorkerArguments
from dynamo_cli.workers.engine import Engine, EngineInfo
from dynamo_cli.workers.engines import registry
from dynamo_cli.workers.engines.arguments import convert_options
from dynamo_cli.workers.engines.base import EngineLaunch, EngineSpec
from dynamo_cli.workers.guard import guard_children
from dynamo_cli.workers.model import PreparedModel, prepare_model, readable
from dynamo_cli.workers.selftest import generate_one_token, hand_one_over

_log = logging.getLogger("dynamo.worker")


@dataclass(frozen=True)
class Loaded:
    """An engine that has proved itself, and what the model card says of it."""

    engine: Engine
    engine_name: str
    info: EngineInfo
    model_name: str
    model: PreparedModel | None = None
    role: Role = "aggregated"
    fetches: tuple[Scheme, ...] = ()

    def card(self, instance: Instance, generation: int = 0) -> ModelCard:
        info, model = self.info, self.model if self.info.input == "tokens" else None
        return ModelCard(
            name=self.model_name,
            identity=ModelIdentity(
                text_digest=model.text_digest if model else "",
                kv_block_size=info.kv_block_size,
                input=info.input,
                resumes=info.resumes,
                embedding_size=info.embedding_size,
            ),
            instance=instance,
            role=self.role,
            engine=self.engine_name,
            context_length=info.context_length,
            total_kv_blocks=info.total_kv_blocks,
            max_num_seqs=info.max_num_seqs,
            max_num_batched_tokens=info.max_num_batched_tokens,
            text_path=model.text_path if model else "",
            logprobs=info.logprobs,
            guided=info.guided,
            kv_events=info.kv_events,
            prefix_caching=info.prefix_caching,
            generation=generation,
            bootstrap_host=info.bootstrap_host,
            bootstrap_port=info.bootstrap_port,
            dimensions=info.dimensions,
            modalities=info.modalities,
            fetches=self.fetches if info.modalities else (),
            data_parallel_size=info.data_parallel_size,
            types=self._types(),
        )

    def _types(self) -> tuple[str, ...]:
        """The requests that can be made."""
        if self.info.embedding_size:
            return ("embeddings",)
        can_render = self.info.input == "text" or self.model is None or self.model.has_template
        return ("chat", "completions") if can_render else ("completions",)


class Loader:
    """`engine` is there from when it begins to start.

    `tell` hears the model's name, the engine's, what is done, and the phase that is part of.
    """

    def __init__(
        self, arguments: WorkerArguments, environ: Mapping[str, str], tell: Callable[[str, str, str, str], None]
    ) -> None:
        self.engine: Engine | None = None
        self._arguments = arguments
        self._environ = environ
        self._tell = tell

    async def load(self) -> Loaded:
        """Raises a DynamoError with one clear line. A headless engine proves nothing: it generates for another one."""
        arguments = self._arguments
        self._tell("", "", "looking for the model", "")
        spec, model = await self._choose()
        name = arguments.model_name or (model.name if model else spec.name)
        launch = self._launch(spec, model, name)
        if spec.has_children:
            guard_children()
        self.engine = engine = spec.create(launch)
        self._tell(name, spec.name, f"{spec.name} is loading {name}", "load")
        began = time.monotonic()
        info = _checked(await engine.start(), spec.name)
        if not arguments.headless:
            self._tell(name, spec.name, "generating a first token", "first token")
            await generate_one_token(engine, info, name)
            if arguments.role == "prefill" and not info.bootstrap_port:
                await hand_one_over(engine, name)
        _log.info("%s loaded %s in %.1f s", spec.name, name, time.monotonic() - began)
        return Loaded(engine, spec.name, info, name, model, arguments.role, arguments.media.schemes)

    async def close(self) -> None:
        """Stop the engine, however far it came. One that cannot is said: the worker ends as it would have."""
        if self.engine is not None:
            try:
                await self.engine.stop()
            except DynamoError as error:
                _log.error("the engine could not be stopped: %s", error)
            except Exception:
                _log.exception("the engine could not be stopped")

    async def _choose(self) -> tuple[EngineSpec, PreparedModel | None]:
        wanted = self._arguments.engine
        if wanted != "auto":
            spec = registry.spec(wanted)
            why_not = spec.available()
            if why_not is not None:
                raise EngineMissing(why_not)
            if not spec.needs_model and not (self._arguments.model and spec.reads_model(self._arguments.options)):
                return spec, None
            return spec, await self._readable(spec, await self._prepare())
        model = await self._prepare()
        gpus = len([gpu for gpu in self._environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu])
        spec, reason = registry.choose(gpus, model.kind)
        _log.info("engine %s", reason)
        return spec, await self._readable(spec, model)

    async def _prepare(self) -> PreparedModel:
        return await asyncio.to_thread(prepare_model, self._arguments.model, self._arguments.template)

    async def _readable(self, spec: EngineSpec, model: PreparedModel) -> PreparedModel:
        if spec.formats and model.kind not in spec.formats:
            self._tell(model.name, spec.name, f"converting {model.name} for {spec.name}", "convert")
        return await asyncio.to_thread(readable, model, spec)

    def _launch(self, spec: EngineSpec, model: PreparedModel | None, name: str) -> EngineLaunch:
        arguments = self._arguments
        self._check(spec)
        return EngineLaunch(
            model_name=name,
            model_path=str(model.path) if model else "",
            text_path=model.text_path if model and not arguments.text_input else "",
            context_length=model.context_length if model else 0,
            args=arguments.engine_args,
            options=convert_options(arguments.options or {}, spec.options_type, spec.name),
            ports={port: _port(self._environ, port) for port in spec.ports_of(arguments.role)},
            tensor_parallel=arguments.tensor_parallel,
            runtime_dir=str(arguments.runtime.paths.runtime_dir),
            host=arguments.runtime.host,
            role=arguments.role,
            headless=arguments.headless,
            logits_processors=arguments.logits_processors,
        )

    def _check(self, spec: EngineSpec) -> None:
        """Raises UsageError for what this engine cannot be asked for."""
        arguments = self._arguments
        if arguments.role in HALVES and not spec.disaggregation:
            raise UsageError(f"engine {spec.name} cannot hand over what it has computed: leave the role out")
        if arguments.tensor_parallel != 1 and not spec.splits:
            raise UsageError(f"engine {spec.name} runs in one piece: --tensor-parallel-size must be 1")
        if arguments.text_input and not spec.takes_text:
            raise UsageError(f"engine {spec.name} takes tokens alone: leave --text-input out")
        if arguments.template and (arguments.text_input or not spec.needs_model):
            raise UsageError(f"engine {spec.name} renders the messages itself here: leave --custom-jinja-template out")
        if arguments.headless and not spec.headless:
            raise UsageError(f"engine {spec.name} has no secondary nodes: leave --headless out")
        if arguments.logits_processors and not spec.logits_processors:
            raise UsageError(f"engine {spec.name} takes no logits processors: leave --logits-processor out")


def _checked(info: object, engine: str) -> EngineInfo:
    """Raises EngineFailed for what no frontend could read: engines of users say what they like."""
    if not isinstance(info, EngineInfo):
        raise EngineFailed(f"start of engine {engine} returned {type(info).__name__}, not an EngineInfo")
    try:
        return msgspec.convert(msgspec.to_builtins(info), EngineInfo)
    except (msgspec.ValidationError, TypeError, OverflowError) as error:
        raise EngineFailed(f"the EngineInfo of engine {engine} is wrong: {error}") from None


def _port(environ: Mapping[str, str], name: str) -> int:
    """A supervisor says which; of a worker that was started by hand any free one."""
    text = environ.get(f"DYN_PORT_{name.upper()}", "")
    if not text:
        with socket.socket() as some:
            some.bind(("127.0.0.1", 0))
            return int(some.getsockname()[1])
    if not text.isdigit():
        raise UsageError(f"DYN_PORT_{name.upper()} is {text!r}, not a port")
    return int(text)
