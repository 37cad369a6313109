"""POST /tokenize and /detokenize, in vLLM's form."""

from __future__ import annotations

from typing import Any

import msgspec

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.frontend.models import Models, ServedModel
from dynamo_cli.frontend.preprocess import chat_ids, check_ids, tokenized
from dynamo_cli.protocol.decode import check_chat, decode_body
from dynamo_cli.protocol.engine import TokenId
from dynamo_cli.protocol.media import take_media
from dynamo_cli.protocol.messages import check_tools
from dynamo_cli.protocol.openai import ChatRequest, Message
from dynamo_cli.runtime.http.exchange import Exchange
from dynamo_cli.text.bundle import TextBundle


class TokenizeRequest(msgspec.Struct):
    """`prompt` or `messages`. `add_special_tokens`: as the tokenizer does around a text, by default for a prompt."""

    model: str | None = None
    prompt: str | None = None
    messages: list[Message] | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    return_token_strs: bool | None = None


class DetokenizeRequest(msgspec.Struct):
    tokens: list[TokenId]
    model: str | None = None


_tokenize = msgspec.json.Decoder(TokenizeRequest)
_detokenize = msgspec.json.Decoder(DetokenizeRequest)


class Tokens:
    """The handlers."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def tokenize(self, exchange: Exchange) -> None:
        request = decode_body(exchange.request.body, _tokenize)
        model, bundle = self._model(request.model)
        ids = _ids(model, bundle, request)
        strings = None
        if request.return_token_strs:
            strings = [bundle.tokenizer.token_string(number) for number in ids]
        exchange.send_json(
            {"count": len(ids), "max_model_len": model.context_length, "tokens": ids, "token_strs": strings}
        )

    def detokenize(self, exchange: Exchange) -> None:
        request = decode_body(exchange.request.body, _detokenize)
        _, bundle = self._model(request.model)
        check_ids(request.tokens, bundle, "tokens")
        exchange.send_json({"prompt": bundle.tokenizer.decode(request.tokens, skip_special_tokens=False)})

    def _model(self, name: str | None) -> tuple[ServedModel, TextBundle]:
        if name is None:
            served = list(self._models)
            if len(served) != 1:
                raise InvalidRequest(f"model: name one of the {len(served)} models that are served", "model")
            name = served[0].name
        model = self._models.get(name)
        if model.bundle is None:
            raise InvalidRequest(f"model: {name} takes text, only its engine knows its tokens", "model")
        return model, model.bundle


def _ids(model: ServedModel, bundle: TextBundle, request: TokenizeRequest) -> list[int]:
    if (request.prompt is None) == (request.messages is None):
        raise InvalidRequest("prompt: want either a prompt or messages", "prompt")
    if request.tools:
        check_tools(request.tools)
    if request.messages is not None:
        chat = ChatRequest(
            model=model.name,
            messages=request.messages,
            add_generation_prompt=request.add_generation_prompt,
            continue_final_message=request.continue_final_message,
            chat_template_kwargs=request.chat_template_kwargs,
            tools=request.tools,
        )
        check_chat(chat)
        take_media(chat.messages)
        ids = chat_ids(model, bundle, chat)
        return bundle.tokenizer.surround(ids) if request.add_special_tokens else ids
    encode = bundle.tokenizer.encode if request.add_special_tokens is not False else bundle.tokenizer.encode_bare
    return tokenized(model, bundle, encode, request.prompt or "", "prompt")
