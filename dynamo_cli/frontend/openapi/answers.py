"""What the endpoints answer, as types. They only describe: the answers themselves are made for speed elsewhere."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from dynamo_cli.disagg.conditional import ConditionalPolicy
from dynamo_cli.frontend.openapi.fields.load import (
    ANSWERS_AFTER,
    BLOCKS,
    DECODE_BUSY,
    FRACTION,
    ISL,
    POLICY,
    PREFILL_BUSY,
    RATIO,
    TOKENS,
)


def _about(text: str, *examples: Any) -> Meta:
    return Meta(description=text, examples=list(examples) or None)


Text = Annotated[str, Meta(description="Text.")]
Created = Annotated[int, _about("Seconds since the epoch.", 1760000000)]
ModelName = Annotated[str, _about("The model's name.", "HuggingFaceTB/SmolLM2-135M-Instruct")]
Index = Annotated[int, Meta(ge=0, description="Which of the choices.")]
Count = Annotated[int, Meta(ge=0)]
Reason = Annotated[Literal["stop", "length"], _about("Ended by itself or at a stop string, or at `max_tokens`.")]
Reason_ = Annotated[Literal["stop", "length"] | None, _about("Null until the last event of a choice.")]


class ErrorDetail(msgspec.Struct):
    message: Annotated[str, _about("One line: where it is wrong, and what helps.", "n: expected `int` >= 1")]
    type: Annotated[
        str, _about("The class of error.", "invalid_request_error", "not_found_error", "service_unavailable")
    ]
    param: Annotated[str | None, _about("The field that is wrong.", "messages[0].role")]
    code: Annotated[
        str | None,
        _about("A word for programs; null for a plain invalid request.", "model_not_found", "context_length_exceeded"),
    ]


class Error(msgspec.Struct):
    """Every error has OpenAI's form."""

    error: Annotated[ErrorDetail, _about("What went wrong.")]


class PromptTokensDetails(msgspec.Struct):
    cached_tokens: Annotated[Count, _about("Of the prompt's tokens: served from the KV cache.")]


class Usage(msgspec.Struct):
    """Tokens of a whole answer: of all its choices."""

    prompt_tokens: Annotated[Count, _about("Counted once for each prompt.")]
    completion_tokens: Annotated[Count, _about("Generated.")]
    total_tokens: Annotated[Count, _about("Both together.")]
    prompt_tokens_details: Annotated[PromptTokensDetails, _about("More about the prompt's.")]


class WorkerId(msgspec.Struct):
    decode_worker_id: Annotated[str, _about("The instance id, as discovery writes it.", "3f2a9c51d0e4b677")]
    decode_worker: Annotated[str, _about("The process's name in its deployment.", "decode-0")] | UnsetType = UNSET


class Timing(msgspec.Struct):
    request_received_ms: Annotated[float, _about("Milliseconds since the epoch.")]
    ttft_ms: Annotated[float, _about("To the first token.")]
    total_time_ms: Annotated[float, _about("To the last one.")]


class AnswerExtension(msgspec.Struct):
    """What `nvext.extra_fields` asked for."""

    worker_id: Annotated[WorkerId, _about("Who answered.")] | UnsetType = UNSET
    timing: Annotated[Timing, _about("How long it took; of a stream on the last event.")] | UnsetType = UNSET


Extension = Annotated[AnswerExtension, _about("Only when it was asked for.")] | UnsetType


class LikelyToken(msgspec.Struct):
    token: Annotated[str, _about(r"Its text; bytes that are only part of a character as \xf0.")]
    logprob: Annotated[float, _about("-9999.0 where the engine does not know it.")]
    bytes: Annotated[list[Annotated[int, Meta(ge=0, le=255)]], _about("Its bytes.")]


class ChosenToken(LikelyToken):
    top_logprobs: Annotated[list[LikelyToken], _about("The likeliest ones at this place.")]


class ChatLogprobs(msgspec.Struct):
    content: Annotated[list[ChosenToken], _about("One for each token.")]
    refusal: Annotated[None, _about("Always null.")]


class CompletionLogprobs(msgspec.Struct):
    """Null for the tokens of an echoed prompt."""

    tokens: Annotated[list[str], _about("Each token's text.")]
    token_logprobs: Annotated[list[float | None], _about("Each token's log probability.")]
    top_logprobs: Annotated[list[dict[str, float] | None], _about("The likeliest ones, and the chosen one.")]
    text_offset: Annotated[list[Count], _about("Where each token begins in the text, in letters.")]


class AnswerMessage(msgspec.Struct):
    role: Annotated[Literal["assistant"], _about("Who speaks.")]
    content: Text
    refusal: Annotated[None, _about("Always null.")]


class ChatChoice(msgspec.Struct):
    index: Index
    message: Annotated[AnswerMessage, _about("What the model said.")]
    logprobs: Annotated[ChatLogprobs | None, _about("If they were asked for.")]
    finish_reason: Reason


class ChatCompletion(msgspec.Struct):
    id: Annotated[str, _about("Also the request's id in the logs.", "chatcmpl-0c1d2e3f")]
    object: Annotated[Literal["chat.completion"], _about("What this is.")]
    created: Created
    model: ModelName
    choices: Annotated[list[ChatChoice], _about("As many as `n`.")]
    usage: Annotated[Usage, _about("Tokens used.")]
    nvext: Extension = UNSET


class ChatDelta(msgspec.Struct):
    role: Annotated[Literal["assistant"], _about("On the first event of a choice.")] | UnsetType = UNSET
    content: Annotated[str, _about("Text to add.")] | UnsetType = UNSET


class ChatChunkChoice(msgspec.Struct):
    index: Index
    delta: Annotated[ChatDelta, _about("What is new.")]
    logprobs: Annotated[ChatLogprobs | None, _about("Of the new text, if they were asked for.")]
    finish_reason: Reason_


ChunkUsage = Annotated[Usage, _about("Where `stream_options` asks for it.")] | UnsetType


class ChatCompletionChunk(msgspec.Struct):
    """One event of a stream."""

    id: Annotated[str, _about("The same in every event.")]
    object: Annotated[Literal["chat.completion.chunk"], _about("What this is.")]
    created: Created
    model: ModelName
    choices: Annotated[list[ChatChunkChoice], _about("One, or none in the event that tells the usage.")]
    usage: ChunkUsage = UNSET
    nvext: Extension = UNSET


class TextChoice(msgspec.Struct):
    index: Annotated[Index, _about("The `n` choices of the first prompt come first.")]
    text: Text
    logprobs: Annotated[CompletionLogprobs | None, _about("If they were asked for.")]
    finish_reason: Reason


class TextCompletion(msgspec.Struct):
    id: Annotated[str, _about("Also the request's id in the logs.", "cmpl-0c1d2e3f")]
    object: Annotated[Literal["text_completion"], _about("What this is.")]
    created: Created
    model: ModelName
    choices: Annotated[list[TextChoice], _about("`n` for each prompt.")]
    usage: Annotated[Usage, _about("Tokens used.")]
    nvext: Extension = UNSET


class TextChunkChoice(msgspec.Struct):
    index: Index
    text: Annotated[str, _about("Text to add.")]
    logprobs: Annotated[CompletionLogprobs | None, _about("Of the new text, if they were asked for.")]
    finish_reason: Reason_


class TextCompletionChunk(msgspec.Struct):
    """One event of a stream."""

    id: Annotated[str, _about("The same in every event.")]
    object: Annotated[Literal["text_completion"], _about("What this is.")]
    created: Created
    model: ModelName
    choices: Annotated[list[TextChunkChoice], _about("One, or none in the event that tells the usage.")]
    usage: ChunkUsage = UNSET
    nvext: Extension = UNSET


class Model(msgspec.Struct):
    id: ModelName
    object: Annotated[Literal["model"], _about("What this is.")]
    created: Created
    owned_by: Annotated[str, _about("Who serves it.", "dynamo")]
    context_window: Annotated[Count, _about("The most tokens of prompt and answer together; 0 is unknown.", 8192)]
    parent: Annotated[str, _about("Of an adapter: the model on top of which it works.", "org/model")] | UnsetType = (
        UNSET
    )


class ModelList(msgspec.Struct):
    object: Annotated[Literal["list"], _about("What this is.")]
    data: Annotated[list[Model], _about("The models that have a worker.")]


class ModelReadiness(msgspec.Struct):
    id: ModelName
    ready: Annotated[bool, _about("Whether a worker takes requests now.")]
    workers: Annotated[Count, _about("How many do.")]


class Thresholds(msgspec.Struct):
    model: ModelName
    active_decode_blocks_threshold: Annotated[float | None, _about(f"{BLOCKS} Null: none.", 0.9)]
    active_prefill_tokens_threshold: Annotated[int | None, _about(f"{TOKENS} Null: none.", 20000)]
    active_prefill_tokens_threshold_frac: Annotated[float | None, _about(f"{FRACTION} Null: none.", 1.5)]


class ThresholdList(msgspec.Struct):
    thresholds: Annotated[list[Thresholds], _about("An entry for each model.")]


class Conditional(msgspec.Struct):
    model: ModelName
    enabled: Annotated[bool, _about("False: every prompt goes to a prefill worker, while there is one.")]
    policy: Annotated[ConditionalPolicy, _about(POLICY)]
    eff_isl_threshold: Annotated[int, _about(ISL, 2048)]
    eff_isl_ratio_threshold: Annotated[float, _about(RATIO, 0.7)]
    prefill_busy_threshold: Annotated[float, _about(PREFILL_BUSY, 1.0)]
    decode_busy_threshold: Annotated[float | None, _about(f"{DECODE_BUSY} Null: none.", 0.9)]
    prefill_answers_after_s: Annotated[float | None, _about(f"{ANSWERS_AFTER} Null: never.", 10.0)]


class ConditionalList(msgspec.Struct):
    models: Annotated[list[Conditional], _about("An entry for each model.")]


class EmbeddingUsage(msgspec.Struct):
    prompt_tokens: Annotated[Count, _about("Of all inputs.")]
    total_tokens: Annotated[Count, _about("The same: nothing is generated.")]


class EmbeddingVector(msgspec.Struct):
    object: Annotated[Literal["embedding"], _about("What it is.")]
    index: Annotated[int, Meta(ge=0, description="Which of the inputs.")]
    embedding: Annotated[list[float] | str, _about("The vector: numbers, or base64 of their bytes.", [0.6, -0.8])]


class EmbeddingList(msgspec.Struct):
    object: Annotated[Literal["list"], _about("What it is.")]
    data: Annotated[list[EmbeddingVector], _about("In the order of the inputs.")]
    model: ModelName
    usage: Annotated[EmbeddingUsage, _about("What it took.")]
    id: Annotated[str, _about("Of the answer.", "embd-0f1e2d3c4b5a69788796a5b4c3d2e1f0")]


class TokenizeAnswer(msgspec.Struct):
    count: Annotated[Count, _about("How many tokens.")]
    max_model_len: Annotated[Count, _about("The model's context in tokens; 0 is unknown.")]
    tokens: Annotated[list[Count], _about("Their ids.")]
    token_strs: Annotated[list[str] | None, _about("Their texts, if they were asked for.")]


class DetokenizeAnswer(msgspec.Struct):
    prompt: Annotated[str, _about("The text.")]


class Transport(msgspec.Struct):
    tcp: Annotated[str, _about("Host and port of the request plane.", "127.0.0.1:41234")]


class HealthInstance(msgspec.Struct):
    """A worker that serves a model."""

    namespace: Annotated[str, _about("Of its endpoint.", "dynamo")]
    component: Annotated[str, _about("Of its endpoint.", "backend")]
    endpoint: Annotated[str, _about("Of its endpoint.", "generate")]
    instance_id: Annotated[int, _about("The number `nvext.backend_instance_id` takes.")]
    service: Annotated[str, _about("The process's name in its deployment; empty when it was started by hand.")]
    transport: Annotated[Transport, _about("Where it listens.")]


class Health(msgspec.Struct):
    status: Annotated[
        Literal["healthy", "unhealthy", "draining"], _about("Unhealthy: no model can answer. Draining: it shuts down.")
    ]
    reason: Annotated[str, _about("Why it is not healthy.")]
    pid: Annotated[int, _about("Of the frontend that answers.")]
    models: Annotated[list[str], _about("The models that have a worker.")]
    endpoints: Annotated[list[str], _about("What the workers serve.", ["dyn://dynamo.backend.generate"])]
    instances: Annotated[list[HealthInstance], _about("The workers.")]
    refused: Annotated[list[str], _about("Workers that are not used, and why.")]


class Live(msgspec.Struct):
    status: Annotated[Literal["live"], _about("The process answers.")]
