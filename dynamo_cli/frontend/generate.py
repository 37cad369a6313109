"""POST /v1/chat/completions and /v1/completions: decode, preprocess, dispatch, answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dynamo_cli.errors import DynamoError, InvalidRequest
from dynamo_cli.frontend import preprocess
from dynamo_cli.frontend.annotations import annotation_events
from dynamo_cli.frontend.answer import Answer, StreamedAnswer, WholeAnswer
from dynamo_cli.frontend.choices import ChoiceMaker
from dynamo_cli.frontend.deadlines import patience_s
from dynamo_cli.frontend.demands import add_demands, fan_out
from dynamo_cli.frontend.extended import KNOWN, ExtendedStream, ExtendedWhole, Extras
from dynamo_cli.frontend.formats import ChatFormat, CompletionFormat, Format
from dynamo_cli.frontend.hints import routing_hints
from dynamo_cli.frontend.intake import Intake, probes
from dynamo_cli.frontend.keepalive import KeepAlive, KeepAliveOptions
from dynamo_cli.frontend.logprobs import Tell, WithLogprobs, chat_logprobs, completion_logprobs
from dynamo_cli.frontend.metrics.counts import Tracker, error_type, track
from dynamo_cli.frontend.models import ServedModel
from dynamo_cli.frontend.pinning import pinned_instance
from dynamo_cli.frontend.record import Record
from dynamo_cli.protocol.decode import decode_chat, decode_completion
from dynamo_cli.protocol.engine import EngineRequest
from dynamo_cli.protocol.openai import GenerateRequest
from dynamo_cli.runtime.http.exchange import Exchange
from dynamo_cli.runtime.trail import Trail


class Api(NamedTuple):
    """One of OpenAI's ways to ask for generated text. `kind` is its name on the model card."""

    kind: str
    endpoint: str
    decode: Callable[[bytes], GenerateRequest]
    prepare: Callable[..., list[EngineRequest]]
    form: Callable[[str], Format]
    tell_logprobs: Tell


CHAT = Api("chat", "chat_completions", decode_chat, preprocess.chat, ChatFormat, chat_logprobs)
COMPLETIONS = Api(
    "completions", "completions", decode_completion, preprocess.completion, CompletionFormat, completion_logprobs
)


class Generator:
    """Everything happens in the caller's event-loop pass; answers come through callbacks."""

    def __init__(self, intake: Intake, keep_alive: KeepAliveOptions | None = None) -> None:
        self._intake = intake
        self._keep_alive = KeepAlive(keep_alive or KeepAliveOptions())
        self._flusher = intake.flusher

    def chat(self, exchange: Exchange) -> None:
        self._generate(exchange, CHAT)

    def completion(self, exchange: Exchange) -> None:
        self._generate(exchange, COMPLETIONS)

    def _generate(self, exchange: Exchange, api: Api) -> None:
        record = exchange.about = Record(api.kind, self._intake.trail(exchange.request))
        try:
            request = api.decode(exchange.request.body)
            if self._intake.ignores_nvext:
                request.nvext = None
            model = self._intake.model(exchange, request.model)
        except DynamoError as error:
            track(self._intake.counts_of_unknown(exchange), api.endpoint, False).finished(error_type(error.status))
            raise
        record.model, record.streamed = model, bool(request.stream)
        tracker = track(model.counts, api.endpoint, record.streamed)
        answer: Answer | None = None
        try:
            if model.listed and not model.serves(api.kind):
                raise InvalidRequest(model.why_not(api.kind), "model")
            patience = patience_s(exchange.request)
            requests = api.prepare(model, request)
            guided_by = add_demands(model, request, requests)
            answer = self._answer(exchange, model, request, _form(api, model, request), tracker)
            answer.guided_by = guided_by
            answer.record, record.answer_id, record.choices = record, answer.form.id, answer.choices
            self._intake.limit(answer, patience)
            if isinstance(answer, StreamedAnswer):
                _tell_more(answer, model, request, requests)
                self._keep_alive.follow(answer)
            if request.n is not None and request.n > 1:
                answer.per_prompt = request.n
                requests = fan_out(requests, request.n)
            tracker.prepared()
            self._dispatch(exchange, model, request, requests, answer, record.trail)
            tracker.dispatched()
        except Exception as error:
            if answer is not None:
                answer.abandon(error)
            else:
                tracker.finished(error_type(getattr(error, "status", 500)))
            raise

    def _answer(
        self, exchange: Exchange, model: ServedModel, request: GenerateRequest, form: Format, tracker: Tracker
    ) -> Answer:
        if request.nvext is not None and (fields := KNOWN.intersection(request.nvext.extra_fields or ())):
            extras = Extras(fields, model.routed, tracker.start)
            if request.stream:
                return ExtendedStream(exchange, form, tracker, self._flusher, request.wants_usage, extras)
            return ExtendedWhole(exchange, form, tracker, self._flusher, extras)
        if request.stream:
            return StreamedAnswer(exchange, form, tracker, self._flusher, request.wants_usage)
        return WholeAnswer(exchange, form, tracker, self._flusher)

    def _dispatch(
        self,
        exchange: Exchange,
        model: ServedModel,
        request: GenerateRequest,
        requests: list[EngineRequest],
        answer: Answer,
        trail: Trail,
    ) -> None:
        instance, probed = pinned_instance(exchange, request.nvext), probes(exchange)
        hints = routing_hints(exchange.request, request.nvext)
        maker = ChoiceMaker(model, request, answer)
        for index, engine_request in enumerate(requests):
            engine_request.probe = probed
            choice = maker.make(index, engine_request)
            answer.add(choice)
            identity = answer.form.id if len(requests) == 1 else f"{answer.form.id}-{index}"
            choice.flight = model.dispatcher.send(
                engine_request,
                choice,
                request_id=identity,
                instance_id=instance,
                accepted=probed or index > 0,
                trail=trail,
                hints=hints,
            )


def _form(api: Api, model: ServedModel, request: GenerateRequest) -> Format:
    form = api.form(model.name)
    if request.alternatives is None or model.bundle is None:
        return form
    return WithLogprobs(form, api.tell_logprobs, model.bundle.tokenizer.token_bytes)


def _tell_more(
    answer: StreamedAnswer, model: ServedModel, request: GenerateRequest, requests: list[EngineRequest]
) -> None:
    """What was asked of the stream beyond the text."""
    if request.nvext is not None:
        answer.prologue = annotation_events(model, request, requests)
    if request.stream_options is not None and request.stream_options.continuous_usage_stats:
        answer.counting = True
