"""POST /v1/embeddings: each input goes to a worker of its own choice; the answer has all their vectors."""

from __future__ import annotations

import sys
from array import array
from base64 import b64encode
from typing import Any

import msgspec

from dynamo_cli.errors import ContextTooLong, DynamoError, InvalidRequest
from dynamo_cli.frontend.answer import WholeAnswer
from dynamo_cli.frontend.choice import Choice
from dynamo_cli.frontend.deadlines import patience_s
from dynamo_cli.frontend.formats import Form, Usage
from dynamo_cli.frontend.hints import routing_hints
from dynamo_cli.frontend.intake import Intake, probes
from dynamo_cli.frontend.metrics.counts import error_type, track
from dynamo_cli.frontend.models import ServedModel
from dynamo_cli.frontend.pinning import pinned_instance
from dynamo_cli.frontend.preprocess import check_ids, tokenized
from dynamo_cli.frontend.record import Record
from dynamo_cli.protocol.decode import decode_embedding
from dynamo_cli.protocol.engine import Delta, Embedding, EngineRequest
from dynamo_cli.protocol.openai import EmbeddingRequest
from dynamo_cli.runtime.http.exchange import Exchange

KIND = "embeddings"
_encode = msgspec.json.encode


class EmbeddingForm(Form):
    """The text of a choice is the JSON of its vector."""

    endpoint = KIND

    def __init__(self, model: str) -> None:
        super().__init__("embd-", model)

    def choice(self, index: int, text: str, reason: str) -> dict[str, Any]:
        return {"object": "embedding", "index": index, "embedding": msgspec.Raw(text.encode())}

    def whole(self, choices: list[dict[str, Any]], usage: Usage) -> bytes:
        counts = {"prompt_tokens": usage.prompt, "total_tokens": usage.prompt}
        return _encode({"object": "list", "data": choices, "model": self._model, "usage": counts, "id": self.id})


class VectorChoice(Choice):
    """`base64`: the vector is told as its bytes, else as numbers."""

    base64 = False

    def _text(self, ids: list[int], deltas: list[Delta], final: bool) -> str:
        vector = b"".join([delta.vector for delta in deltas])
        return f'"{b64encode(vector).decode()}"' if self.base64 else _encode(_numbers(vector)).decode()


class Embedder:
    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def embed(self, exchange: Exchange) -> None:
        intake = self._intake
        record = exchange.about = Record(KIND, intake.trail(exchange.request))
        try:
            request = decode_embedding(exchange.request.body)
            if intake.ignores_nvext:
                request.nvext = None
            model = intake.model(exchange, request.model)
        except DynamoError as error:
            track(intake.counts_of_unknown(exchange), KIND, False).finished(error_type(error.status))
            raise
        record.model = model
        tracker = track(model.counts, KIND, False)
        answer: WholeAnswer | None = None
        try:
            requests = _prepared(model, request)
            patience = patience_s(exchange.request)
            answer = WholeAnswer(exchange, EmbeddingForm(model.name), tracker, intake.flusher)
            answer.record, record.answer_id, record.choices = record, answer.form.id, answer.choices
            intake.limit(answer, patience)
            tracker.prepared()
            self._dispatch(exchange, model, request, requests, answer, record)
            tracker.dispatched()
        except Exception as error:
            if answer is not None:
                answer.abandon(error)
            else:
                tracker.finished(error_type(getattr(error, "status", 500)))
            raise

    def _dispatch(
        self,
        exchange: Exchange,
        model: ServedModel,
        request: EmbeddingRequest,
        requests: list[EngineRequest],
        answer: WholeAnswer,
        record: Record,
    ) -> None:
        instance, probed = pinned_instance(exchange, request.nvext), probes(exchange)
        hints = routing_hints(exchange.request, request.nvext)
        for index, engine_request in enumerate(requests):
            engine_request.probe = probed
            choice = VectorChoice(answer, index, engine_request, None, None)
            choice.base64 = request.encoding_format == "base64"
            answer.add(choice)
            choice.flight = model.dispatcher.send(
                engine_request,
                choice,
                request_id=answer.form.id if len(requests) == 1 else f"{answer.form.id}-{index}",
                instance_id=instance,
                accepted=probed or index > 0,
                trail=record.trail,
                hints=hints,
            )


def _prepared(model: ServedModel, request: EmbeddingRequest) -> list[EngineRequest]:
    """Raises InvalidRequest, naming the field, and ContextTooLong."""
    if model.listed and not model.serves(KIND):
        raise InvalidRequest(model.why_not(KIND), "model")
    _check_dimensions(model, request.dimensions)
    asked = Embedding(request.dimensions)
    return [_one(model, given, asked) for given in request.inputs()]


def _check_dimensions(model: ServedModel, dimensions: int | None) -> None:
    size = 0 if model.identity is None else model.identity.embedding_size
    if dimensions is None or not size or dimensions == size:
        return
    if not all(card.dimensions for card in model.routed.cards.values()):
        raise InvalidRequest(f"dimensions: the vectors of model {model.name} have {size}, no others", "dimensions")
    if dimensions > size:
        raise InvalidRequest(f"dimensions: the vectors of model {model.name} have {size} at most", "dimensions")


def _one(model: ServedModel, given: str | list[int], asked: Embedding) -> EngineRequest:
    bundle, context = model.bundle, model.context_length
    if bundle is None:
        if not isinstance(given, str):
            raise InvalidRequest(f"input: model {model.name} takes text, not token ids", "input")
        return EngineRequest(model.name, prompt=given, embedding=asked)
    if isinstance(given, str):
        ids = tokenized(model, bundle, bundle.tokenizer.encode, given, "input")
    else:
        check_ids(ids := given, bundle, "input")
    if not ids:
        raise InvalidRequest("input: there is nothing to make a vector of", "input")
    if context and len(ids) > context:
        raise ContextTooLong(f"input: {len(ids)} tokens are more than the model's context of {context}", "input")
    return EngineRequest(model.name, ids, embedding=asked)


def _numbers(vector: bytes) -> list[float]:
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()
