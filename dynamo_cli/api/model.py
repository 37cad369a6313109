"""A custom endpoint that serves a model to frontends."""

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING

import msgspec

from dynamo_cli.errors import UsageError
from dynamo_cli.protocol.instance import InputKind, Instance, ModelCard, ModelIdentity
from dynamo_cli.workers.engine import EngineInfo
from dynamo_cli.workers.engines.base import EngineLaunch
from dynamo_cli.workers.model import PreparedModel, prepare_model

if TYPE_CHECKING:
    from dynamo_cli.api.endpoint import Endpoint


class ModelInput(enum.Enum):
    """What the handler gets: the frontend's token ids, or messages and prompts as clients sent them."""

    Tokens = "tokens"
    Text = "text"


class ModelType(enum.Flag):
    Chat = enum.auto()
    Completions = enum.auto()


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """Its attributes are what PlainEngine asks of an engine."""

    name: str
    input: InputKind
    types: tuple[str, ...]
    context_length: int = 0
    kv_block_size: int = 0
    model: PreparedModel | None = None

    @property
    def launch(self) -> EngineLaunch:
        return EngineLaunch(
            model_name=self.name,
            text_path=self.model.text_path if self.model else "",
            context_length=self.context_length,
        )

    def card(self, instance: Instance, info: EngineInfo) -> ModelCard:
        model = self.model
        identity = ModelIdentity(
            text_digest=model.text_digest if model else "", kv_block_size=self.kv_block_size, input=self.input
        )
        return ModelCard(
            name=self.name,
            identity=identity,
            instance=instance,
            engine="custom",
            context_length=info.context_length,
            max_num_seqs=info.max_num_seqs,
            text_path=model.text_path if model else "",
            types=self.types,
            prefix_caching=info.prefix_caching,
        )


async def register_model(
    model_input: ModelInput,
    model_type: ModelType,
    endpoint: Endpoint,
    model_path: str = "",
    model_name: str | None = None,
    *,
    context_length: int | None = None,
    kv_cache_block_size: int | None = None,
) -> None:
    """Frontends serve the model through `endpoint` as soon as that is served; call it before serve_endpoint.

    The handler then gets an EngineRequest and yields token ids or text, a Delta, or a dict with a Delta's fields; the
    stop conditions and the usage are taken care of. `model_path`: a model's name or path; tokens need it for the
    tokenizer. Raises ModelMissing, or UsageError for what does not go together.
    """
    model = None
    if model_input is ModelInput.Tokens:
        if not model_path:
            raise UsageError("register_model: ModelInput.Tokens needs model_path, for the tokenizer")
        model = await asyncio.to_thread(prepare_model, model_path)
        if not model.text_path:
            raise UsageError(f"register_model: {model.name} has no tokenizer that is known; use ModelInput.Text")
    name = model_name or (model.name if model else model_path)
    if not name:
        raise UsageError("register_model: model_name is missing")
    types = tuple(
        kind for kind, flag in (("chat", ModelType.Chat), ("completions", ModelType.Completions)) if flag in model_type
    )
    if model and not model.has_template:
        types = tuple(kind for kind in types if kind != "chat")
    endpoint.runtime.registrations[endpoint.id] = Registration(
        name=name,
        input=model_input.value,
        types=types,
        context_length=context_length or (model.context_length if model else 0),
        kv_block_size=kv_cache_block_size or 0,
        model=model,
    )
