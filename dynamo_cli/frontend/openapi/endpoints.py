"""The endpoints: one entry each. What is in the frontend's route table is here, and the other way round."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dynamo_cli.frontend import busy_threshold, conditional_disagg
from dynamo_cli.frontend.conditional_disagg import ConditionalChange
from dynamo_cli.frontend.memory_view import ONE_PATH as ONE_REQUEST_PATH
from dynamo_cli.frontend.memory_view import PATH as REQUESTS_PATH
from dynamo_cli.frontend.metrics.endpoint import ALL_PATH, COUNTS_PATH
from dynamo_cli.frontend.openapi import answers
from dynamo_cli.frontend.openapi.fields.chat import CHAT
from dynamo_cli.frontend.openapi.fields.common import AGENT_HINTS, COMMON, NVEXT, ROUTER_OVERRIDE, STREAM_OPTIONS
from dynamo_cli.frontend.openapi.fields.completion import COMPLETION
from dynamo_cli.frontend.openapi.fields.embedding import EMBEDDING
from dynamo_cli.frontend.openapi.fields.field import Field
from dynamo_cli.frontend.openapi.fields.load import CONDITIONAL_CHANGE, THRESHOLD_CHANGE
from dynamo_cli.frontend.openapi.fields.tokens import DETOKENIZE, TOKENIZE
from dynamo_cli.frontend.openapi.statuses import OVERLOADED
from dynamo_cli.frontend.tokens import DetokenizeRequest, TokenizeRequest
from dynamo_cli.protocol.load import BusyThresholds, ThresholdChange
from dynamo_cli.protocol.openai import (
    AgentHints,
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    GenerateRequest,
    NvExt,
    RouterOverride,
    StreamOptions,
)
from dynamo_cli.routing.router_view import BLOCKS_PATH, ONE_PATH
from dynamo_cli.routing.router_view import PATH as ROUTER_PATH

FIELDS: dict[type, dict[str, Field]] = {
    GenerateRequest: COMMON,
    ChatRequest: CHAT,
    CompletionRequest: COMPLETION,
    StreamOptions: STREAM_OPTIONS,
    NvExt: NVEXT,
    AgentHints: AGENT_HINTS,
    RouterOverride: ROUTER_OVERRIDE,
    TokenizeRequest: TOKENIZE,
    DetokenizeRequest: DETOKENIZE,
    EmbeddingRequest: EMBEDDING,
    ThresholdChange: THRESHOLD_CHANGE,
    ConditionalChange: CONDITIONAL_CHANGE,
}
"""What is told of the fields of each type, those that it inherits apart."""

TAGS = {
    "Generate": "OpenAI's endpoints for text and for embeddings.",
    "Models": "What is served here.",
    "Tokens": "The models' tokenizers, in vLLM's form.",
    "Load": "When requests are refused because all workers are busy, and who computes prompts.",
    "Operation": "For load balancers, Prometheus and people. No key is needed.",
}
PRIVATE = frozenset(
    ("GET", path)
    for path in (ALL_PATH, COUNTS_PATH, ROUTER_PATH, BLOCKS_PATH, ONE_PATH, REQUESTS_PATH, ONE_REQUEST_PATH)
)
"""Routes that answer on admin sockets alone: not described."""
_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
_GENERATE = (404, 503, 504, OVERLOADED)


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """`route`: its path in the route table, if that is a prefix. `answers`: a status's type, or its media type if the
    body is none of ours; a status that is also in `errors` has either. `errors`: statuses beside those that any request
    may meet. `chunk`: what an event of its stream holds. `examples`: bodies by a few words each, the simplest first.
    """

    method: str
    path: str
    id: str
    tag: str
    summary: str
    text: str = ""
    route: str = ""
    request: type | None = None
    answers: dict[int, type | str]
    chunk: type | None = None
    errors: tuple[int, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    examples: dict[str, Any] = field(default_factory=dict)

    @property
    def routed(self) -> tuple[str, str]:
        """Method and path in the route table."""
        return self.method, self.route or self.path


_GENERATE_HEADERS = {
    "X-Worker-Instance-Id": "The worker that shall answer, as `nvext.backend_instance_id` says it.",
    "X-Request-Timeout-Ms": "The client waits so long for the whole answer, 1 ms to 24 h; then 504, or an error event.",
}
_QUESTION = [{"role": "user", "content": "What color is the sky?"}]

ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/v1/chat/completions",
        id="createChatCompletion",
        tag="Generate",
        summary="Chat",
        text="The model's next message. Fields that are not listed are ignored; null is the same as absent.",
        request=ChatRequest,
        answers={200: answers.ChatCompletion},
        chunk=answers.ChatCompletionChunk,
        errors=_GENERATE,
        headers=_GENERATE_HEADERS,
        examples={
            "A question": {"model": _MODEL, "messages": _QUESTION, "max_tokens": 64},
            "Streamed": {
                "model": _MODEL,
                "messages": _QUESTION,
                "max_tokens": 64,
                "stream": True,
                "stream_options": {"include_usage": True},
            },
            "Two choices": {
                "model": _MODEL,
                "messages": [{"role": "system", "content": "Be brief."}, *_QUESTION],
                "max_completion_tokens": 32,
                "n": 2,
                "seed": 42,
                "temperature": 0.7,
                "stop": ["\n\n"],
            },
        },
    ),
    Endpoint(
        method="POST",
        path="/v1/completions",
        id="createCompletion",
        tag="Generate",
        summary="Completion",
        text="How a text goes on. Fields that are not listed are ignored; null is the same as absent.",
        request=CompletionRequest,
        answers={200: answers.TextCompletion},
        chunk=answers.TextCompletionChunk,
        errors=_GENERATE,
        headers=_GENERATE_HEADERS,
        examples={
            "A text": {"model": _MODEL, "prompt": "Once upon a time", "max_tokens": 32},
            "Two prompts, streamed": {"model": _MODEL, "prompt": ["One", "Two"], "max_tokens": 8, "stream": True},
        },
    ),
    Endpoint(
        method="POST",
        path="/v1/embeddings",
        id="createEmbedding",
        tag="Generate",
        summary="Embeddings",
        text="A vector for each input, of a model that makes them. Fields that are not listed are ignored; null is the "
        "same as absent.",
        request=EmbeddingRequest,
        answers={200: answers.EmbeddingList},
        errors=_GENERATE,
        headers=_GENERATE_HEADERS,
        examples={
            "A text": {"model": _MODEL, "input": "What color is the sky?"},
            "Two texts, as bytes": {"model": _MODEL, "input": ["One", "Two"], "encoding_format": "base64"},
        },
    ),
    Endpoint(
        method="GET",
        path="/v1/models",
        id="listModels",
        tag="Models",
        summary="All models",
        answers={200: answers.ModelList},
    ),
    Endpoint(
        method="GET",
        path="/v1/models/{model}",
        route="/v1/models/",
        id="getModel",
        tag="Models",
        summary="One model",
        text="The slashes of its name may be written as they are.",
        answers={200: answers.Model},
        errors=(404, 503),
    ),
    Endpoint(
        method="GET",
        path="/v1/models/{model}/ready",
        route="/v1/models/",
        id="getModelReadiness",
        tag="Models",
        summary="Whether a model is ready",
        text="200 when a worker takes requests for it now, else 503.",
        answers={200: answers.ModelReadiness, 503: answers.ModelReadiness},
        errors=(404, 503),
    ),
    Endpoint(
        method="POST",
        path="/tokenize",
        id="tokenize",
        tag="Tokens",
        summary="Text or messages to tokens",
        request=TokenizeRequest,
        answers={200: answers.TokenizeAnswer},
        errors=(404, 503),
        examples={
            "A text": {"model": _MODEL, "prompt": "What color is the sky?", "return_token_strs": True},
            "Messages": {"model": _MODEL, "messages": _QUESTION},
        },
    ),
    Endpoint(
        method="POST",
        path="/detokenize",
        id="detokenize",
        tag="Tokens",
        summary="Tokens to text",
        request=DetokenizeRequest,
        answers={200: answers.DetokenizeAnswer},
        errors=(404, 503),
        examples={"Some tokens": {"model": _MODEL, "tokens": [1780, 2960, 314, 260, 6376, 47]}},
    ),
    Endpoint(
        method="GET",
        path="/health",
        id="getHealth",
        tag="Operation",
        summary="Health, models and workers",
        text="200 when a model can answer, else 503.",
        answers={200: answers.Health, 503: answers.Health},
    ),
    Endpoint(
        method="GET",
        path="/live",
        id="getLiveness",
        tag="Operation",
        summary="Whether the process answers",
        answers={200: answers.Live},
    ),
    Endpoint(
        method="GET",
        path=busy_threshold.PATH,
        id="listBusyThresholds",
        tag="Load",
        summary="When workers are busy",
        text="Of each model that is served.",
        answers={200: answers.ThresholdList},
    ),
    Endpoint(
        method="POST",
        path=busy_threshold.PATH,
        id="changeBusyThresholds",
        tag="Load",
        summary="Change when workers are busy",
        text="For all frontends of the deployment. A field that is left out stays as it is, null unsets it.",
        request=ThresholdChange,
        answers={200: answers.Thresholds},
        errors=(404, 503),
        examples={
            "Refuse when nine tenths of the KV cache are in use": {
                "model": _MODEL,
                "active_decode_blocks_threshold": 0.9,
            },
            "Never refuse": {"model": _MODEL, **dict.fromkeys(BusyThresholds.__struct_fields__)},
        },
    ),
    Endpoint(
        method="GET",
        path=conditional_disagg.PATH,
        id="listConditionalDisagg",
        tag="Load",
        summary="When decode workers compute prompts",
        text="Of each model that is served.",
        answers={200: answers.ConditionalList},
    ),
    Endpoint(
        method="POST",
        path=conditional_disagg.PATH,
        id="changeConditionalDisagg",
        tag="Load",
        summary="Change when decode workers compute prompts",
        text="For all frontends of the deployment. A field that is left out stays as it is.",
        request=ConditionalChange,
        answers={200: answers.Conditional},
        errors=(404, 503),
        examples={
            "Short prompts stay with decode workers": {
                "model": _MODEL,
                "enabled": True,
                "eff_isl_threshold": 512,
                "eff_isl_ratio_threshold": 2.0,
            },
            "Every prompt goes to a prefill worker": {"model": _MODEL, "enabled": False},
        },
    ),
    Endpoint(
        method="GET",
        path="/metrics",
        id="getMetrics",
        tag="Operation",
        summary="Prometheus metrics",
        answers={200: "text/plain"},
    ),
    Endpoint(
        method="GET",
        path="/openapi.json",
        id="getOpenApi",
        tag="Operation",
        summary="This description",
        text="OpenAPI 3.1.",
        answers={200: "application/json"},
    ),
    Endpoint(
        method="GET",
        path="/docs",
        id="getDocs",
        tag="Operation",
        summary="This description, to read and try",
        answers={200: "text/html"},
    ),
)
